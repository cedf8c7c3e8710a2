# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Post-hoc detectors: confidence functions that are fitted on features of in-distribution data.

A detector derives from ``FeatureConfidence`` of :mod:`mmcascade.routing`, reads a ``FeatureBank`` and registers itself
in ``CONFIDENCE_TYPES``; it is imported below, which is where configs look for it. Detectors without a fit (energy,
max-logit) are confidences of ``routing``; how well one detects is measured by ``evaluation.metrics``.
"""

from mmcascade.calibration.detectors.feature_bank import BankError, FeatureBank
from mmcascade.calibration.detectors.knn import KNNConfidence

__all__ = ['BankError', 'FeatureBank', 'KNNConfidence']
