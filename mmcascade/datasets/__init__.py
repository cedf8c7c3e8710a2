# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Data sets, parts of data sets, and where their files come from."""

from mmcascade._system.extras import needed_by

with needed_by('mmcascade.datasets'):
    from mmcascade.datasets.calibration_split import CalibrationSplit
    from mmcascade.datasets.crop_at import CropAt
    from mmcascade.datasets.mark_ood import MarkOOD
    from mmcascade.datasets.view_steps import ViewSteps
    from mmcascade.registry import DATASETS, register_unavailable

__all__ = ['CalibrationSplit', 'CropAt', 'MarkOOD', 'ViewSteps']

try:
    from mmcascade.datasets.camvid import CamVidDataset  # noqa: F401
except Exception as error:  # incompatible versions raise AssertionError, not ImportError
    register_unavailable(DATASETS, 'CamVidDataset', 'mmseg', error)
try:
    from mmcascade.datasets.cityscapes_cities import CityscapesCities  # noqa: F401
except Exception as error:
    register_unavailable(DATASETS, 'CityscapesCities', 'mmseg', error)
try:
    from mmcascade.datasets.quickstart.composed_fashion_dataset import ComposedFashionDataset  # noqa: F401
except Exception as error:
    register_unavailable(DATASETS, 'ComposedFashionDataset', 'mmseg', error)
