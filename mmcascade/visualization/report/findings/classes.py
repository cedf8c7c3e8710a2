# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Figures per class, and whether confidences are right as often as they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from mmcascade.calibration.replay.routes import Routes
from mmcascade.visualization.report.charts.svg import Chart, Key, Scale

MOST_CLASSES = 200
_BINS = 10


@dataclass(frozen=True)
class ClassRow:
    """One class, as fractions of its N units.

    Attributes:
        name: of the class.
        units: N.
        accuracy: of the cascade.
        accepted: share accepted; None where nothing is accepted or rejected.
        risk: errors among the accepted; NaN where none is.
        left: per stage, the share that leaves after it.
    """

    name: str
    units: int
    accuracy: float
    accepted: float | None
    risk: float
    left: list[float]


def class_rows(routes: Routes, labels: NDArray[np.int64], names: Sequence[str], accept: float | None) -> list[ClassRow]:
    """The classes that have units, those that suffer most first: least accepted, else least accurate.

    Args:
        routes: what the cascade does.
        labels: int64 ``(N)``; -1 = no class.
        names: of the classes.
        accept: threshold, or None.
    """
    accepted = routes.confidence >= (np.inf if accept is None else accept)
    rows = []
    for label in np.unique(labels[labels >= 0]).tolist():
        here = labels == label
        wrong, taken = routes.wrong[here], accepted[here]
        left = np.bincount(routes.exit_stage[here], minlength=routes.stages) / here.sum()
        rows.append(
            ClassRow(
                names[label] if label < len(names) else str(label),
                int(here.sum()),
                float(1 - wrong.mean()),
                None if accept is None else float(taken.mean()),
                float(wrong[taken].mean()) if taken.any() else float('nan'),
                left.tolist(),
            )
        )
    return sorted(rows, key=lambda row: (row.accuracy if row.accepted is None else row.accepted, row.name))


@dataclass(frozen=True)
class Bin:
    """Units of like confidence: mean confidence, share right with a 95 % interval, number."""

    confidence: float
    right: float
    low: float
    high: float
    units: int


def reliability_bins(confidence: NDArray[np.floating], wrong: NDArray[np.bool_], bins: int = _BINS) -> list[Bin]:
    """As many units in each bin as possible, ties apart; intervals are Clopper and Pearson's (1934).

    Args:
        confidence: ``(N)``; units without a finite one are left out.
        wrong: bool ``(N)``.
        bins: at most so many.
    """
    finite = np.isfinite(confidence)
    scores, errors = confidence[finite].astype(np.float64), wrong[finite]
    if not scores.size:
        return []
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, bins + 1)[1:-1]))
    number = np.searchsorted(edges, scores, side='right')
    found = []
    for place in np.unique(number).tolist():
        here = number == place
        units, right = int(here.sum()), int((~errors[here]).sum())
        low = beta.ppf(0.025, right, units - right + 1) if right else 0.0
        high = beta.ppf(0.975, right + 1, units - right) if right < units else 1.0
        found.append(Bin(float(scores[here].mean()), right / units, float(low), float(high), units))
    return found


def calibration_error(bins: Sequence[Bin]) -> float:
    """Mean distance of confidence from share right, by number of units (Naeini et al. 2015), in bins of equal mass."""
    units = sum(each.units for each in bins)
    return sum(each.units * abs(each.confidence - each.right) for each in bins) / units if units else float('nan')


def reliability_chart(name: str, bins: Sequence[Bin], measure: str) -> Chart:
    """Share right against confidence."""
    is_share = all(0 <= each.confidence <= 1 for each in bins)
    chart = Chart(
        name,
        'Is it right as often as it says?',
        'Share of right predictions against confidence, in bins of equally many images, with 95 % intervals.',
        Scale('confidence', 0, 1) if is_share else Scale.around(measure, [each.confidence for each in bins]),
        Scale('right (%)', 0, 100),
    )
    if is_share:
        chart.line([0, 1], [0, 100], 'guide', 'as often as it says')
        chart.keys.append(Key('as often as it says', 'guide'))
    for each in bins:
        says = f'{each.units} images of confidence {each.confidence:.3g}: {100 * each.right:.1f} % right'
        chart.line([each.confidence] * 2, [100 * each.low, 100 * each.high], 'cascade', says)
        chart.point(each.confidence, 100 * each.right, 'cascade', 'o', says)
    chart.keys.append(Key('cascade', 'cascade', 'o'))
    return chart


def score_chart(
    name: str, confidence: NDArray[np.floating], wrong: NDArray[np.bool_], measure: str, spread: Sequence[float]
) -> Chart:
    """How many units stage 0 gives which confidence, right ones and wrong ones beside each other.

    Args:
        name: of the chart.
        confidence: ``(N)`` after stage 0.
        wrong: bool ``(N)``.
        measure: what the confidence is.
        spread: further scores that it has to show.
    """
    finite = np.isfinite(confidence)
    scores, errors = confidence[finite].astype(np.float64), wrong[finite]
    low, high = min([*scores, *spread], default=0.0), max([*scores, *spread], default=1.0)
    edges = np.linspace(low, high if high > low else low + 1, 41)
    counts = [np.histogram(scores[kind], edges)[0] for kind in (~errors, errors)]
    # The root keeps the few wrong ones visible beside the many right ones, and heights comparable.
    chart = Chart(
        name,
        f'{measure} after stage 0, on a root scale, and what goes on',
        f'Numbers of right and wrong images by {measure} of stage 0; heights are square roots of numbers.',
        Scale(f'{measure} after stage 0', float(edges[0]), float(edges[-1])),
        Scale('images', 0, float(np.sqrt(max(count.max(initial=1) for count in counts))) * 1.05, power=2),
    )
    for kind, style, count in (('right', 'right', counts[0]), ('wrong', 'wrong', counts[1])):
        for place, number in enumerate(count.tolist()):
            start, stop = edges[place], edges[place + 1]
            middle = (start + stop) / 2
            left, right = (start, middle) if kind == 'right' else (middle, stop)
            if number:
                says = f'{number} {kind} between {start:.3g} and {stop:.3g}'
                chart.bar(float(left), float(right), float(np.sqrt(number)), style, says)
        chart.keys.append(Key(kind, style, 's'))
    return chart
