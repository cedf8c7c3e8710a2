# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How every store is filled: an earlier run is gone on with, batch by batch, by one process at a time."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Generic, TypeVar

import torch

from mmcascade._system.files import remove_folder
from mmcascade.calibration.stores.header import StoreHeader
from mmcascade.calibration.stores.store import StaleStoreError, Store, filling
from mmcascade.calibration.stores.store_identity import StoreIdentity
from mmcascade.engine.runs.filling.job import StoreJob
from mmcascade.models.cascade_model import CascadeModel

M = TypeVar('M', bound=CascadeModel)
S = TypeVar('S', bound=Store)
R = TypeVar('R')


class Filler(ABC, Generic[M, S, R]):
    """Fills the store of a job. A variant says what kind of store that is, and what it holds of some images.

    Args:
        job: the cascade, the data set and the store's place.
        identity: what the store's outputs depend on.
    """

    kind: type[S]

    def __init__(self, job: StoreJob[M], identity: StoreIdentity) -> None:
        self.job = job
        self.identity = identity

    @abstractmethod
    def records(self, images: range) -> Iterator[R]:
        """What the store is to hold of some images, in order, in pieces of any size."""

    @abstractmethod
    def header(self, records: R) -> StoreHeader:
        """What a new store says of itself, with its first records at hand."""

    @abstractmethod
    def write(self, store: S, records: R) -> None:
        """Add the next records."""

    def renew(self, store: S) -> None:
        """Bring up to date what has changed of that which this kind of store can renew."""
        raise NotImplementedError(f'a {store.name} renews nothing')

    @torch.no_grad()
    def fill(self) -> S:
        """The complete store; what an earlier run left is continued.

        Raises:
            StoreError: if the folder holds what another cascade or other data gave, or another process fills it.
            ValueError: if an image has no sound labels.
        """
        job = self.job
        with filling(job.folder):
            store = self._reopened()
            if store is not None:
                if store.header.identity.differences(self.identity):
                    self.renew(store)
                store.identify(self.identity, job.config)
            start = 0 if store is None else store.filled
            job.progress(start, job.images)
            for records in self.records(range(start, job.images)):
                if store is None:
                    store = self.kind.create(job.folder, self.header(records))
                self.write(store, records)
                job.progress(store.filled, job.images)
        assert store is not None  # a job has at least one image
        return store

    def _reopened(self) -> S | None:
        """The store of an earlier run, or None if there is none to go on with."""
        job = self.job
        if not self.kind.exists(job.folder):
            return None
        try:
            store = self.kind.open(job.folder)
            store.check_identity(self.identity, except_for=self.kind.can_renew)
        except StaleStoreError as error:
            if job.discard is None:
                raise
            job.discard(error)
            remove_folder(job.folder)
            return None
        then, now = store.header.identity.data, self.identity.data
        if then.images is None and now.images is not None:
            warnings.warn(
                f'the {store.name} {job.folder} was filled by version 0.1, which did not note whether images and '
                'labels are still the same; delete it if they have changed',
                stacklevel=3,
            )
        elif then.moved(now):
            warnings.warn(
                f'the images of the {store.name} {job.folder} lie elsewhere than when it was filled: only paths '
                'differ, and it is used',
                stacklevel=3,
            )
        return store
