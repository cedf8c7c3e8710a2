# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Multiply-adds of what a stage runs: a rule per operator, a count over them, a counter that never touches a member.

An operator without a rule is named in a warning; ``register_macs`` gives it one. ``fallback`` is the one rule for when
a whole image is cheaper than crops, read by the stages and by their replay. Costs are added up by the router alone, and
seconds are measured in ``engine.benchmark``.
"""

from mmcascade.routing.cost.count import count_macs
from mmcascade.routing.cost.counter import MacCounter
from mmcascade.routing.cost.operators import MacRule, register_macs

__all__ = ['MacCounter', 'MacRule', 'count_macs', 'register_macs']
