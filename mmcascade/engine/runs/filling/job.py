# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What stores of scores and of cells are filled from, and how an earlier run is gone on with."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from mmengine.config import Config
from torch.utils.data import Dataset, Subset

from mmcascade._system.files import remove_folder
from mmcascade._system.progress import Progress, no_progress
from mmcascade.calibration.stores.fingerprints import fingerprint
from mmcascade.calibration.stores.store import StaleStoreError, Store, StoreError
from mmcascade.calibration.stores.store_identity import StoreIdentity
from mmcascade.datasets.data_files import data_identity
from mmcascade.engine.configs.dataloaders import ordered_loader
from mmcascade.engine.configs.datasets import pipelines
from mmcascade.models.cascade_model import CascadeModel

#: Told why a store is deleted and filled again.
Discard = Callable[[StoreError], None]

M = TypeVar('M', bound=CascadeModel)
S = TypeVar('S', bound=Store)


@dataclass(frozen=True)
class StoreJob(Generic[M]):
    """A cascade that is run over a data set, whose outputs go to a store.

    Attributes:
        folder: the store's place.
        model: a cascade with loaded members; its policy is not asked.
        dataloader: config of the loader; its data set is replaced, its order is kept.
        dataset: the built data set.
        progress: called with the number of finished and of all images.
        config: the whole config as a Python literal, kept in the store; None = it could not be written as one.
        discard: told why a store that does not fit is deleted and filled again; None = that is an error.
    """

    folder: str | Path
    model: M
    dataloader: Config
    dataset: Dataset
    progress: Progress = no_progress
    config: str | None = None
    discard: Discard | None = None

    def __post_init__(self) -> None:
        if not self.images:
            raise ValueError('the calibration data set is empty; check the annotations and the split of val_dataloader')

    @property
    def images(self) -> int:
        """How many images there are."""
        return len(self.dataset)  # type: ignore[arg-type]

    def identity(self, labelled: bool = True, **more: Any) -> StoreIdentity:
        """What stored outputs depend on: members (weights, views, precision), images, labels and preprocessing.

        Args:
            labelled: whether labels and annotations count.
            more: what else does, by the names of :class:`~mmcascade.calibration.stores.store_identity.StoreIdentity`.
        """
        cascade = self.model.identity()
        given = tuple(stage.macs for stage in self.model.stages)
        return StoreIdentity(
            cascade.stages,
            cascade.precision,
            data_identity(self.dataset, labelled),
            _preprocessing(self.dataloader),
            macs=None if all(macs is None for macs in given) else given,
            **more,
        )

    def reopened(self, kind: type[S], identity: StoreIdentity) -> S | None:
        """The store of an earlier run, or None if there is none to go on with.

        Raises:
            StoreError: if it does not fit and nobody allows to discard it.
        """
        if not kind.exists(self.folder):
            return None
        try:
            store = kind.open(self.folder)
            store.check_identity(identity, except_for=kind.can_renew)
        except StaleStoreError as error:
            if self.discard is None:
                raise
            self.discard(error)
            remove_folder(self.folder)
            return None
        then, now = store.header.identity.data, identity.data
        if then.images is None and now.images is not None:
            warnings.warn(
                f'the {store.name} {self.folder} was filled by version 0.1, which did not note whether images and '
                'labels are still the same; delete it if they have changed',
                stacklevel=3,
            )
        elif then.moved(now):
            warnings.warn(
                f'the images of the {store.name} {self.folder} lie elsewhere than when it was filled: only paths '
                'differ, and it is used',
                stacklevel=3,
            )
        return store

    def batches(self, images: range, **options: Any) -> Any:
        """Some of the images in batches, in order.

        Args:
            images: their indexes.
            options: of the loader, in place of those of its config.
        """
        return ordered_loader(dict(self.dataloader, **options), Subset(self.dataset, images)) if images else ()


def _preprocessing(dataloader: Config) -> str:
    """A short name for what is done to the images of a loader."""
    transforms = json.dumps(pipelines(dataloader.get('dataset')), default=str, sort_keys=True)
    return fingerprint([transforms.encode()])
