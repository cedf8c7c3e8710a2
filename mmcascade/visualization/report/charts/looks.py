# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How systems look on the page: the colours and markers of :mod:`~mmcascade.visualization.style`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmcascade.visualization.style import MARKERS, ROLES, STAGE_COLOURS


@dataclass(frozen=True)
class Look:
    """Classes of the style sheet, and a marker."""

    style: str
    marker: str


def cascade_looks(members: Sequence[str]) -> dict[str, Look]:
    """Of members, cheap first, their ensemble and their cascade, by name."""
    roles = ['member'] * (len(members) - 1) + ['larger member'] if len(members) > 1 else ['member']
    looks = [Look(f'{role.replace(" ", "-")} dash{min(k, 3)}', ROLES[role].marker) for k, role in enumerate(roles)]
    looks[-1] = Look(looks[-1].style.partition(' ')[0], looks[-1].marker)
    both = {name: Look(name, ROLES[name].marker) for name in ('ensemble', 'cascade')}
    return {**dict(zip(members, looks, strict=True)), **both}


def numbered_looks(systems: int) -> list[Look]:
    """Of systems that have no roles."""
    count = len(STAGE_COLOURS)
    return [Look(f'colour{k % count} dash{min(k // count, 3)}', MARKERS[k % len(MARKERS)]) for k in range(systems)]


def stage_style(stage: int) -> str:
    """Of a stage that units leave after."""
    return f'colour{stage % len(STAGE_COLOURS)}'


def colours() -> dict[str, str]:
    """The colour of each class of the style sheet."""
    named = {name.replace(' ', '-'): role.colour for name, role in ROLES.items()}
    return named | {f'colour{k}': colour for k, colour in enumerate(STAGE_COLOURS)}
