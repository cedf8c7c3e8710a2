# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Run every stage of a segmentation cascade over a data set and keep what its cells say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from mmcascade.calibration.stores.cell_records import CellRecords
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.calibration.stores.header import CellHeader
from mmcascade.calibration.stores.store_identity import IGNORED
from mmcascade.engine.runs.filling.cell_histograms import cell_records, stored_stages
from mmcascade.engine.runs.filling.filler import Filler
from mmcascade.engine.runs.filling.job import StoreJob
from mmcascade.models.cascade_segmentor import CascadeSegmentor


class CellFiller(Filler[CascadeSegmentor, CellStore, CellRecords]):
    """Fills a store of cells, image by image.

    Args:
        job: the cascade, the data set and the store's place.
        ignore_index: the class of pixels that count nowhere.

    Raises:
        ValueError: if a stage joins cells.
    """

    kind = CellStore

    def __init__(self, job: StoreJob[CascadeSegmentor], ignore_index: int = IGNORED) -> None:
        model, classes = job.model, job.model.num_classes
        stored_stages(model.stages)
        assert classes is not None  # of a segmentor, which labels pixels
        temperatures = tuple(stage.temperature for stage in model.stages)
        cascade = model.identity(with_weights=False)
        identity = job.identity(
            confidence=cascade.confidence,
            fusion=cascade.fusion,
            grid=cascade.grid,
            temperatures=temperatures if set(temperatures) != {1} else None,
            ignore_index=ignore_index,
        )
        super().__init__(job, identity)
        self._header = CellHeader(
            identity=identity,
            images=identity.data.units,
            classes=list(model.classes) if model.classes else classes,
            stages=[stage.source for stage in model.stages],
            on=[stage.on for stage in model.stages],
            fusion=model.fusion,
            confidence=model.confidence.name,
            empty=model.confidence.empty,
            temperatures=temperatures,
            config=job.config,
        )

    def records(self, images: range) -> Iterator[CellRecords]:
        """The cells of one image after the other, by every stage."""
        model, header = self.job.model, self._header
        collate = self.job.dataloader.get('collate_fn', dict(type='pseudo_collate'))
        for batch in self.job.batches(images, batch_size=1, collate_fn=collate):
            sample = batch['data_samples'][0]
            tile = model.tile(batch['inputs'][0], sample)
            for stage in model.stages:
                stage.settle([tile])
            labels = true_label_map(sample)
            yield cell_records(model, tile, labels, header.subsets, header.num_classes, self.identity.ignore_index)

    def header(self, records: CellRecords) -> CellHeader:
        """Known before any image is."""
        return self._header

    def write(self, store: CellStore, records: CellRecords) -> None:
        """Of the next image."""
        store.append(store.filled, records)


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
