# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How good a cascade is: curves over confidences, and the metrics that print them."""

from .cascade_cost import CascadeCost
from .selective_risk import SelectiveRisk

__all__ = ['CascadeCost', 'SelectiveRisk']
