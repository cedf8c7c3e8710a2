# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Run every stage of a segmentation cascade over a data set and keep what its cells say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch.utils.data import Dataset, Subset

from mmcascade._system.progress import Progress, no_progress
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.calibration.stores.header import CellHeader
from mmcascade.calibration.stores.store import filling
from mmcascade.calibration.stores.store_identity import IGNORED, StoreIdentity
from mmcascade.datasets.data_files import data_identity
from mmcascade.engine.runs.filling.cell_histograms import cell_records
from mmcascade.engine.runs.filling.fill_store import Discard, given_macs, ordered_loader, preprocessing, reopened
from mmcascade.models.cascade_segmentor import CascadeSegmentor
from mmcascade.models.members.members import num_classes


def fill_cell_store(
    folder: str | Path,
    model: CascadeSegmentor,
    dataloader: Config,
    dataset: Dataset,
    progress: Progress = no_progress,
    config: str | None = None,
    ignore_index: int = IGNORED,
    discard: Discard | None = None,
) -> CellStore:
    """The complete store of a data set's cells; what an earlier run left is continued.

    Args:
        folder: the store's place.
        model: a cascade with loaded members; its policy is not asked.
        dataloader: config of the loader; its data set is replaced, its order is kept.
        dataset: the built data set.
        progress: called with the number of finished images and of all images.
        config: the whole config as a Python literal, kept in the store.
        ignore_index: the class of pixels that count nowhere.
        discard: told why a store that does not fit is deleted and filled again; None = that is an error.

    Raises:
        StoreError: if the folder holds the cells of another cascade or other data, or another process fills it.
        ValueError: if the data set is empty, or has images without sound labels.
    """
    images = len(dataset)  # type: ignore[arg-type]
    if not images:
        raise ValueError('the calibration data set is empty; check the annotations and the split of val_dataloader')
    temperatures = tuple(stage.temperature for stage in model.stages)
    cascade = model.identity()
    identity = StoreIdentity(
        cascade.stages,
        cascade.precision,
        data_identity(dataset),
        preprocessing(dataloader),
        cascade.confidence,
        cascade.fusion,
        cascade.grid,
        macs=given_macs(model),
        temperatures=temperatures if set(temperatures) != {1} else None,
        ignore_index=ignore_index,
    )
    with filling(folder):
        store = reopened(CellStore, folder, identity, config, discard)
        if store is None:
            store = CellStore.create(folder, _header(model, identity, temperatures, config))
        store.identify(identity, config)
        progress(store.filled, images)
        if store.complete:
            return store
        left = Subset(dataset, range(store.filled, images))
        for batch in ordered_loader(dict(dataloader, batch_size=1), left, 'pseudo_collate'):
            sample = batch['data_samples'][0]
            tile = model.tile(batch['inputs'][0], sample)
            for stage in model.stages:
                stage.settle([tile])
            labels = true_labels(sample)
            records = cell_records(model, tile, labels, store.subsets, class_count(model), ignore_index)
            store.append(store.filled, records)
            progress(store.filled, images)
    return store


def _header(
    model: CascadeSegmentor, identity: StoreIdentity, temperatures: Sequence[float], config: str | None
) -> CellHeader:
    return CellHeader(
        identity=identity,
        images=identity.data.units,
        classes=list(model.classes) if model.classes else class_count(model),
        stages=[stage.source for stage in model.stages],
        on=[stage.on for stage in model.stages],
        fusion=model.fusion,
        confidence=model.confidence.name,
        empty=model.confidence.empty,
        temperatures=temperatures,
        config=config,
    )


def class_count(model: CascadeSegmentor) -> int:
    """How many classes the members tell apart."""
    return next(count for member in model.members.values() if (count := num_classes(member)))


def true_labels(sample: Any) -> torch.Tensor:
    """The classes of an image's pixels, ``(H, W)``.

    Raises:
        ValueError: if it has none.
    """
    if 'gt_sem_seg' not in sample:
        raise ValueError(
            f'{sample.get("img_path", "an image")} has no gt_sem_seg: calibration needs annotated images, '
            'and LoadAnnotations in the pipeline of val_dataloader'
        )
    return sample.gt_sem_seg.data.squeeze(0)
