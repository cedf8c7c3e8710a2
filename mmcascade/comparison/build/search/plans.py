# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What is searched for a target, and which of the cascades that are found is the one to take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from mmcascade.calibration.fit.target import Target
from mmcascade.calibration.grid.plan import TOLERANCE, Limits, Plan
from mmcascade.calibration.replay.quality import Quality

#: About so many settings are evaluated: seconds on thousands of images.
SETTINGS = 1e6

T = TypeVar('T')


@dataclass(frozen=True)
class Rule:
    """The cheapest cascade that reaches a level; where none is asked for, the best one.

    Attributes:
        least: the lowest gain that is good enough; None = the highest there is.
        words: what a cascade that is good enough does.
    """

    least: float | None
    words: str

    def reached(self, gain: float) -> bool:
        """Whether a gain is good enough."""
        return self.least is None or gain >= self.least - TOLERANCE

    def best(self, found: Sequence[tuple[T, float, float]]) -> T:
        """The one to take of some things with their gain and cost; where none is good enough, the one nearest to it."""
        enough = [entry for entry in found if self.least is not None and self.reached(entry[1])]
        if enough:
            return min(enough, key=lambda entry: (entry[2], -entry[1]))[0]
        return max(found, key=lambda entry: (entry[1], -entry[2]))[0]


def plan_for(target: Target, pixels: bool = False) -> Plan:
    """What is searched for a target.

    Args:
        target: what is asked for.
        pixels: whether members label pixels rather than images.

    Raises:
        ValueError: if it leaves nothing to choose.
    """
    if target.kind == 'iou' or (pixels and target.is_decision):
        raise ValueError(
            f'segmentors are searched by their mIoU, of which {target} does not speak; take miou= or macs='
        )
    if target.kind == 'risk':
        return Plan(Quality.parse(f'coverage@risk={target.value:g}'), order='any', max_settings=SETTINGS)
    if target.kind == 'coverage':
        return Plan(Quality.parse(f'risk@coverage={target.value:g}'), order='any', max_settings=SETTINGS)
    if target.kind not in ('accuracy', 'miou', 'macs'):
        raise ValueError(
            f'{target} says who goes on and not what that is to be good for, so there is nothing '
            'to choose by; search for risk=, coverage=, accuracy= (miou= of segmentors) or macs='
        )
    quality = Quality.parse('miou' if pixels else 'accuracy')
    limits = Limits(max_cost=target.value) if target.kind == 'macs' else Limits(reach=target.value)
    return Plan(quality, limits, order='any', policy='window' if pixels else 'threshold', max_settings=SETTINGS)


def rule_for(target: Target, plan: Plan, alone: float) -> Rule:
    """Which of the cascades that are found to take.

    Args:
        target: what is asked for.
        plan: what was searched.
        alone: the highest gain of a single member.
    """
    if target.is_decision:
        return Rule(alone, 'is at least as good as the best member alone')
    if target.kind == 'macs':
        return Rule(None, f'keeps {target}')
    return Rule(float(plan.quality.gain(target.value)), f'reaches {target}')
