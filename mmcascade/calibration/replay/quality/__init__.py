# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How good a cascade is. Each module registers what it holds, so all qualities are known once this is imported.

A quality derives from ``Quality`` (``ScoreQuality``, if it depends on the scores that are judged), says what a unit
carries and what the sum is worth, and is registered in ``QUALITIES`` and imported below: fits, grids and searches then
take it. Figures of a test run are metrics, in ``evaluation.metrics``.
"""

from mmcascade.calibration.replay.quality.accuracy import Accuracy
from mmcascade.calibration.replay.quality.class_iou import ClassIoU, class_number
from mmcascade.calibration.replay.quality.miou import MeanIoU, pixel_counts, pixels_per_image
from mmcascade.calibration.replay.quality.quality import NAMES, QUALITIES, Quality
from mmcascade.calibration.replay.quality.score_qualities import (
    Augrc,
    Aurc,
    CoverageAtRisk,
    RiskAtCoverage,
    ScoreQuality,
    accepted_at,
)
from mmcascade.evaluation.curves.iou import class_iou, mean_iou

__all__ = [
    'NAMES',
    'QUALITIES',
    'Accuracy',
    'Augrc',
    'Aurc',
    'ClassIoU',
    'CoverageAtRisk',
    'MeanIoU',
    'Quality',
    'RiskAtCoverage',
    'ScoreQuality',
    'accepted_at',
    'class_iou',
    'class_number',
    'mean_iou',
    'pixel_counts',
    'pixels_per_image',
]
