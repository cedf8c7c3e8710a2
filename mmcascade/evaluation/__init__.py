# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How good a cascade is: curves over confidences, and the metrics that print them."""

from .cascade_cost import CascadeCost
from .deferred_pixels import DeferredPixels
from .ood_detection import OODDetection
from .pixel_selective import PixelSelective
from .scod import SCOD
from .selective_risk import SelectiveRisk
from .subset_metric import SubsetMetric

__all__ = ['SCOD', 'CascadeCost', 'DeferredPixels', 'OODDetection', 'PixelSelective', 'SelectiveRisk', 'SubsetMetric']
