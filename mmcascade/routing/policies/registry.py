# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Exit policies by name."""

from __future__ import annotations

from mmcascade.routing.policies.adjusted_window_policy import AdjustedWindowPolicy
from mmcascade.routing.policies.cell_budget_policy import CellBudgetPolicy
from mmcascade.routing.policies.policies import ExitPolicy, RandomPolicy, ThresholdPolicy, WindowPolicy
from mmcascade.routing.registry import Registry

#: What ``policy=dict(type='mmcascade.Name', ...)`` means. ``@POLICIES.register()`` adds a class of a user.
POLICIES: Registry[type[ExitPolicy]] = Registry('policy')
for _policy in (WindowPolicy, ThresholdPolicy, RandomPolicy, AdjustedWindowPolicy, CellBudgetPolicy):
    POLICIES.register()(_policy)
