# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Calibrations of cascades whose stages join cells: fitted on crops of single cells, measured as the cascade runs.

A store keeps what stages say of each cell; of the rectangles that it may lie in there are too many. So thresholds are
fitted as if cells were cut out one by one, and the cascade then really runs on the images that they were fitted on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from mmcascade._system.progress import Progress, no_progress
from mmcascade.calibration.fit.evidence import Evidence
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.replay.quality import MeanIoU, Quality
from mmcascade.engine.runs.filling.cell_filler import true_label_map
from mmcascade.engine.runs.filling.cell_histograms import class_histograms
from mmcascade.engine.runs.filling.job import StoreJob
from mmcascade.models.cascade_segmentor import CascadeSegmentor
from mmcascade.routing import CascadeRouter


@dataclass(frozen=True)
class JoinedRun:
    """A cascade that joins cells, and the images that its calibration is fitted on.

    Attributes:
        job: of the cascade, with loaded members.
        ignore_index: the class of pixels that count nowhere.
        amp: run the members in mixed precision.
    """

    job: StoreJob[CascadeSegmentor]
    ignore_index: int
    amp: bool = False

    def measured(
        self,
        calibration: Calibration,
        evidence: Evidence,
        request: CalibrationRequest,
        progress: Progress = no_progress,
    ) -> Calibration:
        """The calibration of this cascade, with what it really does on the calibration images in ``measured``.

        Args:
            calibration: that of the cascade without joined cells.
            evidence: what it was fitted on.
            request: what was asked for.
            progress: called with the number of finished and of all images.
        """
        model = self.job.model
        router = CascadeRouter(model.stages, calibration.policy(), model.confidence, model.fusion, None, model.results)
        model.router = router
        sums, macs, reached = self._run(progress)
        qualities: dict[str, Quality] = {'miou': MeanIoU()}
        if request.wanted.class_name is not None:
            quality = evidence.quality(request.wanted)
            qualities[str(quality)] = quality
        joined = {
            **{name: float(quality.of(sums, evidence.units)) for name, quality in qualities.items()},
            'macs': macs,
            'reached': reached,
        }
        return replace(calibration, cascade=model.identity(), measured={**calibration.measured, 'joined': joined})

    def _run(self, progress: Progress) -> tuple[NDArray[np.int64], float, list[float]]:
        """Pixels per class that are right and predicted ``(2C)``, multiply-adds of an image, and how far it goes."""
        job, classes = self.job, self.job.model.num_classes
        assert classes is not None  # of a segmentor, which labels pixels
        sums, macs, reached = np.zeros(2 * classes, np.int64), [], []
        collate = job.dataloader.get('collate_fn', dict(type='pseudo_collate'))
        with torch.no_grad(), torch.autocast(job.model.stages[0].device.type, enabled=self.amp):
            for batch in job.batches(range(job.images), collate_fn=collate):
                for sample in job.model.test_step(batch):
                    truth = true_label_map(sample).cpu()
                    sums += self._pixels(sample.pred_sem_seg.data[0].cpu(), truth, classes)
                    macs.append(sample.macs)
                    reached.append(sample.reached)
                progress(len(macs), job.images)
        return sums, float(np.mean(macs)), np.mean(reached, 0).tolist()

    def _pixels(self, labels: torch.Tensor, truth: torch.Tensor, classes: int) -> NDArray[np.int32]:
        counts = truth != self.ignore_index
        chosen = torch.stack([counts & (labels == truth), counts])[None]
        return class_histograms(labels.expand_as(chosen), chosen, classes).ravel()
