# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Post-hoc detectors: confidence functions that are fitted on features of in-distribution data."""

from mmcascade.calibration.detectors.feature_bank import BankError, FeatureBank
from mmcascade.calibration.detectors.knn import KNNConfidence

__all__ = ['BankError', 'FeatureBank', 'KNNConfidence']
