# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The cascade to take of all that a search found, and what each other chain would be at its best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmcascade._system.progress import Progress, no_progress
from mmcascade.calibration.fit.certificates.held_out import hold_out
from mmcascade.calibration.fit.target import Target
from mmcascade.calibration.grid.chain_search import Setting
from mmcascade.calibration.grid.pareto import spread_out
from mmcascade.calibration.search.candidates import Candidates
from mmcascade.calibration.search.results.report import Reporter
from mmcascade.calibration.search.search import search
from mmcascade.comparison.build.search.plans import Rule, plan_for, rule_for

#: So many settings are judged, and of each chain at least and at most so many.
_JUDGED, _OF_A_CHAIN = 3000, (30, 200)


@dataclass(frozen=True)
class Choice:
    """What is taken, and why.

    Attributes:
        setting: the chain with its windows.
        others: every other chain at its best, the nearest first.
        lost: of each of them why it was not taken.
        why: why the chosen one was, in words.
        alone: the best single stage, by itself.
        images: how many images it was chosen on.
    """

    setting: Setting
    others: list[Setting]
    lost: list[str]
    why: str
    alone: Setting
    images: int

    @property
    def tried(self) -> int:
        """How many chains there were."""
        return 1 + len(self.others)


@dataclass(frozen=True)
class _Judged:
    setting: Setting
    gain: float
    cost: float


def choose(
    candidates: Candidates,
    groups: NDArray[np.int64],
    target: Target,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Choice:
    """Search chains and windows, and take one.

    Of a decision, windows are searched on one half of the images and judged on the other: the cheapest cascade that is
    at least as good as the best member alone wins, which may be that member. Windows that meet an accuracy, a mIoU or
    a cost are searched and judged on all of them, as they are to meet it there: the cheapest that reaches the quality
    wins, or the best that keeps the cost.

    Args:
        candidates: stages, with their temperatures and costs.
        groups: rising indexes of the images that may be looked at.
        target: what is asked for.
        seed: of the draw of the halves.
        progress: called with the number of finished chains, and of all that are known so far.

    Raises:
        InfeasibleError: if nothing keeps the target.
    """
    plan = plan_for(target, candidates.units.label is not None)
    select = report = groups
    if target.is_decision:
        halves = hold_out(candidates.source.strata[groups], 0.5, seed)
        select, report = (groups[half] for half in halves)
    found = search(candidates, select, plan, progress)
    reporter = Reporter(candidates, plan, select, report, repeats=1)
    gain = plan.quality.gain

    def judged(setting: Setting) -> _Judged:
        figures = reporter.figures(setting)
        return _Judged(setting, float(gain(figures.quality)), figures.cost)

    most = int(np.clip(_JUDGED // len(found.chains), *_OF_A_CHAIN))
    chains = {
        chain: [judged(settings[k]) for k in spread_out([s.cost for s in settings], most)]
        for chain, settings in found.chains.items()
    }
    singles = [judged(setting) for setting in found.ensembles if len(setting.chain) == 1]
    alone = max(singles, key=lambda each: (each.gain, -each.cost))
    rule = rule_for(target, plan, alone.gain)
    best = {chain: rule.best([(each, each.gain, each.cost) for each in several]) for chain, several in chains.items()}
    won = rule.best([(each, each.gain, each.cost) for each in best.values()])
    others = sorted(
        (each for each in best.values() if each is not won),
        key=lambda each: (not rule.reached(each.gain), each.cost if rule.reached(each.gain) else -each.gain),
    )
    return Choice(
        won.setting,
        [each.setting for each in others],
        [_lost(each, won, rule) for each in others],
        _why(rule),
        alone.setting,
        len(groups),
    )


def _why(rule: Rule) -> str:
    return f'the best that {rule.words}' if rule.least is None else f'the cheapest that {rule.words}'


def _lost(each: _Judged, won: _Judged, rule: Rule) -> str:
    if rule.least is None:
        return 'is not better'
    if not rule.reached(each.gain):
        return 'is not good enough'
    return 'costs more' if each.cost > won.cost else 'is not better at that cost'
