# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Data sets, parts of data sets, and where their files come from."""

from mmcascade.registry import DATASETS, register_unavailable

from .calibration_split import CalibrationSplit
from .crop_at import CropAt
from .mark_ood import MarkOOD

__all__ = ['CalibrationSplit', 'CropAt', 'MarkOOD']

try:
    from .camvid import CamVidDataset  # noqa: F401
except Exception as error:  # incompatible versions raise AssertionError, not ImportError
    register_unavailable(DATASETS, 'CamVidDataset', 'mmseg', error)
try:
    from .cityscapes_cities import CityscapesCities  # noqa: F401
except Exception as error:
    register_unavailable(DATASETS, 'CityscapesCities', 'mmseg', error)
try:
    from .composed_fashion_dataset import ComposedFashionDataset  # noqa: F401
except Exception as error:
    register_unavailable(DATASETS, 'ComposedFashionDataset', 'mmseg', error)
