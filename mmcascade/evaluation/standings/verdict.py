# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Whether a cascade pays, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from mmcascade._system.tables import with_interval
from mmcascade.evaluation.standings.standings import Standings


def verdict(
    standings: Standings, members: Sequence[str], cascade: str = 'cascade', *, larger: str = 'the larger member'
) -> str:
    """What the figures say, and what to do.

    Differences are in points, with paired 95 % intervals; one that holds 0 decides nothing.

    Args:
        standings: of the members, each alone, and of their cascade.
        members: of the cascade, cheap first.
        cascade: its name.
        larger: what the last of the members is called.
    """
    small, large = members[0], members[-1]
    name = standings.measure.name
    if small == large:
        return f'The cascade has one member, {small}, so there is nothing to compare it with.'
    if standings.difference(large, small).high < 0:
        return _beside_a_worse_one(standings, small, large, cascade, larger)
    over_small, over_large = standings.difference(cascade, small), standings.difference(cascade, large)
    ratio = standings[cascade].cost / standings[large].cost
    cost = f'costs {ratio:.2f}x of {larger}, {name} {_points(standings, cascade, large)}'
    gain = f'against {small} alone {_points(standings, cascade, small)}'
    dearer = round(ratio, 2) >= 1
    if over_small.high <= 0:
        return f'It does not pay: the cascade {cost}, and {gain}. Use {small} alone.'
    if dearer and over_large.low <= 0:
        return f'It does not pay: the cascade {cost}. Use {large} alone.'
    if over_small.low <= 0:
        return (
            f'It cannot be told whether it pays: the cascade {cost}, and {gain}; {standings.units} images leave both '
            'open.'
        )
    if dearer:
        finding, instead = 'It costs more and reaches more', 'cost counts more.'
    elif over_large.high < 0:
        finding, instead = 'It is cheaper and reaches less', f'the {name} counts more than the cost.'
    else:
        return f'It pays: the cascade {cost}, and {gain}.'
    return f'{finding}: the cascade {cost}, and {gain}. Use {large} alone where {instead}'


def _beside_a_worse_one(standings: Standings, small: str, large: str, cascade: str, larger: str) -> str:
    """A larger member that is worse alone may still know what the small one does not."""
    name = standings.measure.name
    finding = (
        f'{larger[0].upper()}{larger[1:]} is worse: in {name}, {large} differs from {small} by '
        f'{_points(standings, large, small)}.'
    )
    if standings.difference(cascade, small).low <= 0:
        return f'{finding} Do not cascade; use {small} alone.'
    ratio = standings[cascade].cost / standings[small].cost
    return (
        f'{finding} Together they are better: the cascade costs {ratio:.2f}x of {small}, {name} '
        f'{_points(standings, cascade, small)}.'
    )


def _points(standings: Standings, name: str, other: str) -> str:
    difference = standings.difference(name, other)
    return with_interval(difference.estimate, difference.low, difference.high, '+.1f', 100)
