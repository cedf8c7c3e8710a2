# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Data sets, parts of data sets, and how images are told apart and named.

``CalibrationSplit`` and ``unit_keys`` see to it that no image is calibrated and tested on; ``data_files`` tells later
whether data is still the same. A data set or transform registers itself in ``DATASETS`` or ``TRANSFORMS`` and is
imported below, those of MMSegmentation only where it is there. Classes of data and members are compared in
``engine.configs.classes``.
"""

from mmcascade._system.extras import needed_by

with needed_by('mmcascade.datasets'):
    from mmcascade.datasets.calibration_split import CalibrationSplit
    from mmcascade.datasets.transforms.crop_at import CropAt
    from mmcascade.datasets.transforms.load_frames import LoadFrames
    from mmcascade.datasets.transforms.mark_ood import MarkOOD
    from mmcascade.datasets.transforms.view_steps import ViewSteps
    from mmcascade.registry import DATASETS, register_unavailable

__all__ = ['CalibrationSplit', 'CropAt', 'LoadFrames', 'MarkOOD', 'ViewSteps']

# Only the library is tried: an error in a module of ours is an error, and says so.
try:
    import mmseg.datasets  # noqa: F401
except Exception as error:  # incompatible versions raise AssertionError, not ImportError
    for name in ('CamVidDataset', 'CityscapesCities', 'ComposedFashionDataset'):
        register_unavailable(DATASETS, name, 'mmseg', error)
else:
    from mmcascade.datasets.camvid import CamVidDataset  # noqa: F401
    from mmcascade.datasets.cityscapes_cities import CityscapesCities  # noqa: F401
    from mmcascade.datasets.quickstart.composed_fashion_dataset import ComposedFashionDataset  # noqa: F401
