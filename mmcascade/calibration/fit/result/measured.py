# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a finished cascade reaches, as a calibration file says it."""

from __future__ import annotations

from typing import Any

from mmcascade.calibration.replay.costs import Chain
from mmcascade.calibration.replay.quality import MeanIoU, Quality
from mmcascade.calibration.replay.routes import Routes
from mmcascade.routing import ExitPolicy
from mmcascade.routing.policies.cell_budget_policy import CellBudgetPolicy


def measured(
    routes: Routes, policy: ExitPolicy, chain: Chain | None = None, quality: Quality | None = None
) -> dict[str, Any]:
    """Figures of a cascade on some units; shares and qualities are fractions, MACs multiply-adds per image.

    The accuracy is that of the units with a label.

    Args:
        routes: what it does.
        policy: who goes on.
        chain: which stages of the units' costs these are; default all, in order.
        quality: what else to say.
    """
    units = routes.units
    further = {} if quality is None else {str(quality): quality.measure(routes)}
    if units.label is None:
        known = slice(None) if units.ood is None else ~units.ood
        return {
            'units': len(units),
            'accuracy': float(1 - routes.wrong[known].mean()),
            **further,
            'macs': float(routes.cost.mean()),
            'reached': routes.reached(),
        }
    chain = tuple(range(routes.stages)) if chain is None else chain
    reachable = next((gap for gap in range(policy.num_gaps) if policy.is_closed(gap)), policy.num_gaps) + 1
    most = policy.max_cells if isinstance(policy, CellBudgetPolicy) else None
    return {
        'images': units.groups,
        'cells': len(units),
        'miou': MeanIoU().measure(routes),
        **further,
        'macs': float(routes.cost.mean()),
        'reached': routes.reached(),
        'deferred': routes.deferred,
        'worst_case': units.costs.worst_case(chain[:reachable], most),
    }
