# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The table of a search, for people and for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, cast

import numpy as np

from mmcascade.calibration.grid.chain_search import Setting
from mmcascade.calibration.grid.plan import Plan
from mmcascade.calibration.search.candidates import Candidates
from mmcascade.calibration.search.found import Covered
from mmcascade.calibration.search.results.committees import Committee
from mmcascade.calibration.search.results.pareto_file import (
    About,
    CommitteeEntry,
    CoveredEntry,
    ParetoFile,
    PointEntry,
    SystemEntry,
)
from mmcascade.calibration.search.results.report import Performance, Point
from mmcascade.routing.policies.policies import Window

SCHEMA = 1


def as_json(
    points: Sequence[Point], covered: Sequence[Covered], candidates: Candidates, plan: Plan, about: About
) -> ParetoFile:
    """What ``pareto.json`` holds; qualities are fractions.

    Args:
        points: by rising cost.
        covered: how much of the space was evaluated.
        about: what else to say of the search: stores, unit of cost, numbers of units, seed.
    """
    return {
        'schema': SCHEMA,
        **about,
        'quality': str(plan.quality),
        'higher_is_better': plan.quality.higher_is_better,
        'confidence': candidates.cascade.confidence,
        'fusion': candidates.cascade.fusion,
        'policy': plan.policy,
        'limits': asdict(plan.limits),
        'stages': dict(zip(candidates.names, np.round(candidates.mean_costs(), 6).tolist(), strict=True)),
        'covered': [_covered(entry) for entry in covered],
        'points': [_point(point, candidates) for point in points],
    }


def committee_rows(
    committees: Sequence[Committee], candidates: Candidates, figures: Callable[[Setting], Performance]
) -> list[CommitteeEntry]:
    """What ``pareto.json`` holds of a comparison with committees.

    Args:
        committees: its rows.
        candidates: the stages.
        figures: of a setting, on images that the search did not see.
    """

    def describe(setting: Setting) -> SystemEntry:
        seen = figures(setting)
        return {
            'chain': candidates.named(setting.chain),
            'windows': setting.windows,
            'accuracy': seen.accuracy,
            'cost': seen.cost,
        }

    return [
        {
            'goal': row.goal,
            'single': describe(row.single),
            'ensemble': None if row.ensemble is None else describe(row.ensemble),
            'cascade': None if row.cascade is None else describe(row.cascade),
        }
        for row in committees
    ]


def as_csv(points: Sequence[Point], candidates: Candidates) -> str:
    """The same points as one row of numbers each."""
    out = io.StringIO()
    rows = [_row(point, candidates) for point in points]
    writer = csv.DictWriter(out, list(rows[0]), lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def describe_windows(windows: Sequence[Window]) -> str:
    """Such as '0.31..0.84, ..0.6': bounds, left away where the window is open."""
    return ', '.join('..'.join('' if end is None else f'{end:.4g}' for end in window) for window in windows)


def _point(point: Point, candidates: Candidates) -> PointEntry:
    written: dict[str, Any] = {
        **asdict(point),
        'chain': candidates.named(point.chain),
        'baseline': None if point.baseline is None else candidates.names[point.baseline],
    }
    if point.interval is None:
        del written['interval']
    return cast(PointEntry, written)  # the fields of a point, by the same names


def _covered(entry: Covered) -> CoveredEntry:
    return cast(CoveredEntry, {**asdict(entry), 'share': entry.share})


def _row(point: Point, candidates: Candidates) -> dict[str, Any]:
    row: dict[str, Any] = {'chain': candidates.describe(point.chain), 'windows': describe_windows(point.windows)}
    for half in ('report', 'select'):
        row |= {f'{key}_{half}': value for key, value in asdict(getattr(point, half)).items()}
    if point.interval is not None:
        row |= {'quality_low': point.interval.low, 'quality_high': point.interval.high}
    difference = point.difference
    return row | {
        'worst_case': point.worst_case,
        'reached': ' '.join(f'{share:.4f}' for share in point.reached),
        'near_bounds': point.near_bounds,
        'accept': point.accept,
        'baseline': None if point.baseline is None else candidates.names[point.baseline],
        'difference': difference and difference.estimate,
        'difference_low': difference and difference.low,
        'difference_high': difference and difference.high,
    }
