# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Data sets, parts of data sets, and where their files come from."""

from .calibration_split import CalibrationSplit
from .crop_at import CropAt
from .mark_ood import MarkOOD

__all__ = ['CalibrationSplit', 'CropAt', 'MarkOOD']
