# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A bundle without torch: numpy, Pillow and onnxruntime (or openvino). Nothing else of mmcascade is imported here.

``Bundle(DIR).decide(images)`` reads images, makes the views, runs the graphs on those that go on, and decides. What a
bundle may say is checked in :mod:`~mmcascade.runtime.description.manifest`; the arithmetic repeats that of
:mod:`mmcascade.routing` and is tied to it by tests. From the ground up: ``fields``, ``preprocessing``, ``decision``,
``description``, ``running``, and the bundles of either task.
"""

from mmcascade.runtime.bundle import Bundle, Decision, Failure, StageScore
from mmcascade.runtime.description.samples import Check
from mmcascade.runtime.drift import Drift, DriftMonitor, Expected
from mmcascade.runtime.errors import BundleError, ImageError
from mmcascade.runtime.preprocessing.images import ImageLimits
from mmcascade.runtime.running.graphs import Engine
from mmcascade.runtime.segmentation import Cell, Segmentation, SegmentationBundle, open_bundle

__all__ = [
    'Bundle',
    'BundleError',
    'Cell',
    'Check',
    'Decision',
    'Drift',
    'DriftMonitor',
    'Engine',
    'Expected',
    'Failure',
    'ImageError',
    'ImageLimits',
    'StageScore',
    'Segmentation',
    'SegmentationBundle',
    'open_bundle',
]
