# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Single model, ensemble and cascade at equal accuracy and at equal cost (Wang et al. 2022, sections 4 and 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.grid.chain_search import Setting
from mmcascade.calibration.grid.plan import InfeasibleError, Plan
from mmcascade.calibration.replay.costs import Chain
from mmcascade.calibration.replay.quality import Accuracy
from mmcascade.calibration.search.candidates import Candidates
from mmcascade.calibration.search.found import Found
from mmcascade.calibration.search.search import search

GOALS = ('accuracy', 'cost')


@dataclass(frozen=True)
class Committee:
    """One row of the comparison.

    Attributes:
        goal: 'accuracy' or 'cost', what is equal (no worse) on the units of the search.
        single: the stage to compare with.
        ensemble, cascade: the best ones of all chains of at least two stages; None if no such chain meets the goal.
    """

    goal: str
    single: Setting
    ensemble: Setting | None
    cascade: Setting | None


def best(settings: Sequence[Setting], goal: str, like: Setting) -> Setting | None:
    """The cheapest setting that is at least as accurate, or the most accurate one that costs no more."""
    if goal not in GOALS:
        raise ValueError(f'a goal is one of {GOALS}, got {goal!r}')
    if goal == 'accuracy':
        fit = [setting for setting in settings if setting.accuracy >= like.accuracy]
        return min(fit, key=lambda setting: (setting.cost, -setting.accuracy), default=None)
    fit = [setting for setting in settings if setting.cost <= like.cost * (1 + 1e-9)]
    return max(fit, key=lambda setting: (setting.accuracy, -setting.cost), default=None)


def compare(found: Found) -> list[Committee]:
    """Every single stage against what a search for accuracy found, cheapest first."""
    singles = sorted((s for s in found.ensembles if len(s.chain) == 1), key=lambda setting: setting.cost)
    ensembles = [s for s in found.ensembles if len(s.chain) > 1]
    cascades = [s for s in found.front if len(s.chain) > 1]
    return [
        Committee(goal, single, best(ensembles, goal, single), best(cascades, goal, single))
        for single in singles
        for goal in GOALS
    ]


def convert(
    candidates: Candidates, units: NDArray[np.int64], chain: Chain, goal: str, plan: Plan
) -> tuple[Setting, Setting]:
    """Turn an ensemble into a cascade of the same members in the same order.

    Args:
        candidates: the stages.
        units: which units count.
        chain: the ensemble's members.
        goal: 'accuracy' for the lowest mean cost at the ensemble's accuracy or more, 'cost' for the highest accuracy
            at no more than its cost.
        plan: its policy is used, and its limits are kept. What is matched is always the accuracy,
            whatever its quality.

    Returns:
        The ensemble and the cascade.

    Raises:
        ValueError: if the chain has less than two stages, or another quality than the accuracy is to reach a value.
        InfeasibleError: if the plan's limits rule out every cascade that meets the goal.
    """
    if len(chain) < 2:
        raise ValueError('an ensemble has at least two members, such as --convert small,large')
    if plan.limits.reach is not None and not isinstance(plan.quality, Accuracy):
        raise ValueError(
            f'an ensemble is converted by accuracy and cost, so {plan.quality} cannot be asked to reach '
            f'{plan.limits.reach:g}; leave --reach out, or take --quality accuracy'
        )
    if candidates.units.label is not None:
        raise ValueError(
            'a store of cells has no ensemble to convert: search it with --reach, the mIoU to keep, or --max-cost'
        )
    found = search(candidates, units, replace(plan, chains=(chain,), quality=Accuracy()))
    (ensemble,) = found.ensembles
    cascade = best(found.front, goal, ensemble)
    if cascade is None:
        raise InfeasibleError(
            f'no cascade of {candidates.describe(chain)} within the limits has the same {goal} as '
            f'the ensemble, which has an accuracy of {ensemble.accuracy:.4f} at a cost of '
            f'{ensemble.cost:g}'
        )
    return ensemble, cascade
