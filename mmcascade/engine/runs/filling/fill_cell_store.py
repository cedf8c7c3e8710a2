# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Run every stage of a segmentation cascade over a data set and keep what its cells say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.calibration.stores.header import CellHeader
from mmcascade.calibration.stores.store import filling
from mmcascade.calibration.stores.store_identity import IGNORED, StoreIdentity
from mmcascade.engine.runs.filling.cell_histograms import cell_records, stored_stages
from mmcascade.engine.runs.filling.job import StoreJob
from mmcascade.models.cascade_segmentor import CascadeSegmentor


def fill_cell_store(job: StoreJob[CascadeSegmentor], ignore_index: int = IGNORED) -> CellStore:
    """The complete store of a data set's cells; what an earlier run left is continued.

    Args:
        job: the cascade, the data set and the store's place.
        ignore_index: the class of pixels that count nowhere.

    Raises:
        StoreError: if the folder holds the cells of another cascade or other data, or another process fills it.
        ValueError: if an image has no sound labels, or a stage joins cells.
    """
    model, classes = job.model, job.model.num_classes
    stored_stages(model.stages)
    assert classes is not None  # of a segmentor, which labels pixels
    temperatures = tuple(stage.temperature for stage in model.stages)
    cascade = model.identity()
    identity = job.identity(
        confidence=cascade.confidence,
        fusion=cascade.fusion,
        grid=cascade.grid,
        temperatures=temperatures if set(temperatures) != {1} else None,
        ignore_index=ignore_index,
    )
    with filling(job.folder):
        store = job.reopened(CellStore, identity)
        if store is None:
            store = CellStore.create(job.folder, _header(model, identity, temperatures, classes, job.config))
        store.identify(identity, job.config)
        job.progress(store.filled, job.images)
        collate = job.dataloader.get('collate_fn', dict(type='pseudo_collate'))
        for batch in job.batches(range(store.filled, job.images), batch_size=1, collate_fn=collate):
            sample = batch['data_samples'][0]
            tile = model.tile(batch['inputs'][0], sample)
            for stage in model.stages:
                stage.settle([tile])
            labels = true_label_map(sample)
            records = cell_records(model, tile, labels, store.subsets, classes, ignore_index)
            store.append(store.filled, records)
            job.progress(store.filled, job.images)
    return store


def _header(
    model: CascadeSegmentor,
    identity: StoreIdentity,
    temperatures: Sequence[float],
    classes: int,
    config: str | None,
) -> CellHeader:
    return CellHeader(
        identity=identity,
        images=identity.data.units,
        classes=list(model.classes) if model.classes else classes,
        stages=[stage.source for stage in model.stages],
        on=[stage.on for stage in model.stages],
        fusion=model.fusion,
        confidence=model.confidence.name,
        empty=model.confidence.empty,
        temperatures=temperatures,
        config=config,
    )


def true_label_map(sample: Any) -> torch.Tensor:
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
