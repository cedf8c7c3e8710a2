# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What costs are counted in, and how they are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmcascade._system.tables import SCALES, with_prefix


@dataclass(frozen=True)
class CostUnit:
    """A unit of cost.

    Attributes:
        name: in words.
        short: over a column.
        key: in files.

    Example:
        >>> MULTIPLY_ADDS.text(583600), MILLISECONDS.text(1.2345), MULTIPLY_ADDS.scale(2e6)
        ('583.6 k', '1.23 ms', (1000000.0, ' (M)'))
    """

    name: str
    short: str
    key: str

    def text(self, value: float, digits: int = 4) -> str:
        """A cost as it is shown."""
        return f'{value:.3g} ms' if self is MILLISECONDS else with_prefix(value, digits)

    def scale(self, most: float) -> tuple[float, str]:
        """What the numbers of an axis that ends at ``most`` are divided by, and how its label says it."""
        if self is MULTIPLY_ADDS:
            for scale, prefix in SCALES:
                if most >= scale:
                    return scale, f' ({prefix})'
        return 1.0, ''


MULTIPLY_ADDS = CostUnit('multiply-adds', 'MACs', 'macs')
MILLISECONDS = CostUnit('milliseconds', 'time', 'ms')


def unit_for(milliseconds: Sequence[float] | None) -> CostUnit:
    """What costs are counted in where stages have these milliseconds; None = they were not timed."""
    return MULTIPLY_ADDS if milliseconds is None else MILLISECONDS


def unit_of(name: str) -> CostUnit:
    """By its name.

    Raises:
        ValueError: if costs are not counted in that.
    """
    for unit in (MULTIPLY_ADDS, MILLISECONDS):
        if unit.name == name:
            return unit
    raise ValueError(f'costs are counted in {MULTIPLY_ADDS.name} or {MILLISECONDS.name}, got {name!r}')
