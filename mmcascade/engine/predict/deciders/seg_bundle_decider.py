# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A bundle that labels pixels, which needs no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmcascade.engine.predict.deciders.decider import BUNDLE, Decider, only_maps
from mmcascade.engine.predict.request import PredictRequest
from mmcascade.engine.predict.rows.maps import MapDecision, MapRows, as_labels
from mmcascade.runtime import Failure, ImageError, Segmentation, SegmentationBundle


class SegBundleDecider(Decider[MapDecision]):
    """A bundle of segmentors.

    Args:
        folder: that ``mmcascade export`` made.
    """

    task = 'segmentation'
    batch_size = 1

    def __init__(self, folder: Path) -> None:
        self.bundle = SegmentationBundle(folder)
        self.stages = len(self.bundle.manifest.stages)
        self.accepts = self.bundle.manifest.accept is not None
        self.classes = self.bundle.manifest.classes
        self.fingerprint = hashlib.sha256((folder / BUNDLE).read_bytes()).hexdigest()[:16]

    def rows(self, request: PredictRequest) -> MapRows:
        """Label maps and cells."""
        only_maps(request, self.accepts)
        return MapRows(self.stages, self.classes, request.maps_to)

    def decide(self, images: Sequence[Path | bytes], first_unit: int = 0) -> list[MapDecision | Failure]:
        """See the base class."""
        return [
            Failure(str(found)) if isinstance(found, ImageError) else self._decision(found)
            for found in self.bundle.segment_each(images, first_unit)
        ]

    def _decision(self, found: Segmentation) -> MapDecision:
        areas = np.array([(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (cell.box for cell in found.cells)])
        exits = np.array([cell.exit_stage for cell in found.cells])
        reached = [float(areas[exits >= stage].sum() / areas.sum()) for stage in range(self.stages)]
        cells: list[dict[str, Any]] = []
        for cell in found.cells:
            told = cell.to_json()
            keys = ('confidence', 'exit_stage', 'macs', *(() if cell.accepted is None else ('accepted',)))
            cells.append({'bbox': told['box'], **{key: told[key] for key in keys}})
        confidence = found.confidence if np.isfinite(found.confidence) else None
        return MapDecision(as_labels(found.labels), found.macs, reached, cells, confidence, found.accepted)
