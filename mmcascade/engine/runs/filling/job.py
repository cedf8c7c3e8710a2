# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What stores of scores and of cells are filled from."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from mmengine.config import Config
from torch.utils.data import Dataset, Subset

from mmcascade._system.progress import Progress, no_progress
from mmcascade.calibration.stores.fingerprints import fingerprint
from mmcascade.calibration.stores.store import StoreError
from mmcascade.calibration.stores.store_identity import StoreIdentity
from mmcascade.datasets.data_files import data_identity
from mmcascade.engine.configs.dataloaders import ordered_loader
from mmcascade.engine.configs.datasets import pipelines
from mmcascade.models.cascade_model import CascadeModel

#: Told why a store is deleted and filled again.
Discard = Callable[[StoreError], None]

M = TypeVar('M', bound=CascadeModel)


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
