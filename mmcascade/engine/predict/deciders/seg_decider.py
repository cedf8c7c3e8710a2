# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The segmentation cascade of a config, on images one by one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope
from mmseg.structures import SegDataSample

from mmcascade.engine.predict.deciders.config_decider import ConfigDecider
from mmcascade.engine.predict.deciders.decider import only_maps
from mmcascade.engine.predict.deciders.loading import Loading, after_loading, each, load_image
from mmcascade.engine.predict.request import PredictRequest
from mmcascade.engine.predict.rows.maps import MapDecision, MapRows, as_labels
from mmcascade.models.cascade_segmentor import CascadeSegmentor
from mmcascade.models.cells.cell_records import cells_as_json
from mmcascade.runtime import Failure


class SegDecider(ConfigDecider[CascadeSegmentor, MapDecision]):
    """A cascade of segmentors; images of any sizes."""

    task = 'segmentation'
    batch_size = 1  # what is kept of an image is as large as the image

    def prepare(self, pipeline: Sequence[Mapping[str, Any]]) -> None:
        """See the base class."""
        self.loading = Loading.of(pipeline)
        with DefaultScope.overwrite_default_scope('mmseg'):
            self.pipeline = Compose(after_loading(pipeline))

    def rows(self, request: PredictRequest) -> MapRows:
        """Label maps and cells."""
        only_maps(request, self.accepts)
        return MapRows(self.stages, self.classes, request.maps_to)

    @torch.no_grad()
    def decide(self, images: Sequence[Path | bytes], first_unit: int = 0) -> list[MapDecision | Failure]:
        """See the base class."""
        made = each(images, lambda place, image: self._prepared(image, first_unit + place))
        good = [sample for sample in made if not isinstance(sample, Failure)]
        found = iter(self.model.test_step(pseudo_collate(good)) if good else ())
        return [one if isinstance(one, Failure) else _decision(next(found)) for one in made]

    def _prepared(self, image: Path | bytes, unit: int) -> dict[str, Any]:
        pixels = load_image(image, self.loading)
        size = pixels.shape[:2]
        fields = dict(img=pixels, img_shape=size, ori_shape=size, sample_idx=unit)
        return self.pipeline(fields | dict(seg_fields=[], reduce_zero_label=False))


def _decision(sample: SegDataSample) -> MapDecision:
    labels = as_labels(sample.pred_sem_seg.data[0].cpu().numpy())
    confidence = sample.confidence if math.isfinite(sample.confidence) else None
    cells = cells_as_json(sample)
    return MapDecision(labels, float(sample.macs), tuple(sample.reached), cells, confidence, sample.get('accepted'))
