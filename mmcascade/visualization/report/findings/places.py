# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What the page shows at each place of the sliders, as texts, shares and pixels: the page itself computes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.evaluation.standings.cost_unit import MULTIPLY_ADDS, CostUnit
from mmcascade.visualization.report.charts.svg import Chart
from mmcascade.visualization.report.findings.settings import Outcome, Setting, Sliders

NONE = '–'


@dataclass(frozen=True)
class Dear:
    """The member whose cost is 1.

    Attributes:
        name: of the member.
        cost: per image.
        unit: of costs.
    """

    name: str
    cost: float
    unit: CostUnit = MULTIPLY_ADDS

    def text(self, cost: float) -> str:
        """A cost, and how many times that of the member."""
        return f'{self.unit.text(cost)} ({cost / self.cost:.2f} x)' if self.cost else self.unit.text(cost)

    def spent(self, cost: float) -> str:
        """The same in a sentence."""
        ratio = f' ({cost / self.cost:.2f} x of {self.name})' if self.cost else ''
        what = ' multiply-adds' if self.unit is MULTIPLY_ADDS else ''
        return f'at {self.unit.text(cost, 3)}{what} an image{ratio}'


def places(sliders: Sliders, dear: Dear, charts: dict[str, Chart]) -> list[list[dict[str, Any]]]:
    """One object for each place, by risk, then by effort.

    Args:
        sliders: the settings.
        dear: the member whose cost is 1.
        charts: those with something to move: 'curve', 'cost' and 'scores'.
    """
    return [[_place(setting, dear, charts) for setting in row] for row in sliders.settings]


def slider_labels(sliders: Sliders) -> tuple[list[str], list[str]]:
    """What each place of the two sliders is called."""
    words = 'on each side of the decision' if sliders.around else 'go on in each gap'
    return (
        [f'{100 * risk:g} %' for risk in sliders.risks],
        [f'{100 * effort:g} % {words}' for effort in sliders.efforts],
    )


def _place(setting: Setting, dear: Dear, charts: dict[str, Chart]) -> dict[str, Any]:
    if setting.calibration is None or setting.outcome is None:
        return {'problem': setting.problem}
    made, outcome = setting.calibration, setting.outcome
    measured = made.measured
    text = {
        'accept': NONE if made.accept is None else f'{made.accept:.4f}',
        'fit-coverage': percent(measured.get('coverage')),
        'fit-risk': percent(measured.get('risk')),
        'fit-accuracy': percent(measured['accuracy']),
        'fit-macs': dear.text(measured['macs']),
        'coverage': percent(outcome.coverage),
        'risk': percent(outcome.risk),
        'accuracy': percent(outcome.accuracy),
        'macs': dear.text(outcome.cost),
        'sentence': _sentence(made, outcome, dear),
    }
    for gap, window in enumerate(made.windows):
        text[f'window{gap}'] = window_text(window)
    for stage, (fit, shown) in enumerate(zip(measured['reached'], outcome.reached, strict=True)):
        text[f'fit-reached{stage}'], text[f'reached{stage}'] = percent(fit), percent(shown)
    width, units = {}, int(outcome.flow.sum())
    for stage, counts in enumerate(outcome.flow.tolist()):
        on = int(outcome.flow[stage + 1 :].sum())
        for kind, count in zip(('right', 'wrong', 'rejected', 'on'), (*counts, on), strict=True):
            text[f'flow{stage}-{kind}'] = f'{count:,}'
            width[f'flow{stage}-{kind}'] = round(100 * count / units, 3)
    return {'text': text, 'width': width, 'at': _moved(made, outcome, charts)}


def _moved(made: Calibration, outcome: Outcome, charts: dict[str, Chart]) -> dict[str, list[float]]:
    """Pixels: of points x and y, of spans and lines x and width."""
    at: dict[str, list[float]] = {}
    if (chart := charts.get('curve')) and outcome.coverage:
        at['curve'] = _xy(chart, 100 * outcome.coverage, 100 * outcome.risk)
    if chart := charts.get('cost'):
        scale = next(scale for prefix, scale in _PREFIXES if prefix in chart.x.label or not prefix)
        at['cost'] = _xy(chart, outcome.cost / scale, 100 * outcome.quality)
    if chart := charts.get('scores'):
        window = made.windows[0] if made.windows else None
        if window is not None:
            low = chart.x.low if window[0] is None else window[0]
            high = chart.x.high if window[1] is None else window[1]
            (x0, x1), _ = chart.place([low, high], [0, 0])
            at['window'] = [float(x0), float(x1 - x0)]
        if made.accept is not None and made.maps is None:
            at['accept'] = [float(chart.place(made.accept, 0)[0]), 0]
    return at


_PREFIXES = (('(T)', 1e12), ('(G)', 1e9), ('(M)', 1e6), ('(k)', 1e3), ('', 1.0))


def _xy(chart: Chart, x: float, y: float) -> list[float]:
    return [float(value) for value in chart.place(x, y)]


def _sentence(made: Calibration, outcome: Outcome, dear: Dear) -> str:
    spent = dear.spent(outcome.cost)
    if made.accept is None:
        return f'No threshold can be certified, so nothing is accepted, {spent}.'
    if not outcome.coverage:
        return f'None of these images is accepted, {spent}.'
    accepted, wrong = f'{100 * outcome.coverage:.1f}', f'{100 * outcome.risk:.1f}'
    return f'{accepted} % of the images are accepted, {wrong} % of those wrongly, {spent}.'


def percent(value: float | None) -> str:
    """A fraction in percent."""
    return NONE if value is None or value != value else f'{100 * value:.2f} %'


def window_text(window: Sequence[float | None] | None) -> str:
    """Which scores go on."""
    if window is None:
        return 'nobody goes on'
    low, high = window
    if low is None and high is None:
        return 'everybody goes on'
    if low is None:
        return f'up to {high:.4f}'
    return f'from {low:.4f}' if high is None else f'{low:.4f} to {high:.4f}'
