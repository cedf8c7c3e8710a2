# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a cascade would be at other targets and other costs: a calibration and a replay for every place of two sliders.

Nothing is interpolated. Each place holds what :func:`~mmcascade.calibration.fit.calibrate.calibrate` gives for the
request that it stands for, and what that calibration does with the units of another split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mmcascade._system.progress import Progress, no_progress
from mmcascade.calibration.fit.calibrate import fit
from mmcascade.calibration.fit.evidence import Evidence
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.fit.target import Target
from mmcascade.calibration.replay.routes import route
from mmcascade.evaluation.curves.intervals.ranked import Resampling
from mmcascade.evaluation.standings.measure import Measure
from mmcascade.visualization.report.findings.judged import StoredSplit

_RISKS = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.12, 0.15)
_HIGH_RISKS = (0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
#: Share of the units on each side of the decision: from no second opinion to one for everybody.
_HALF_WIDTHS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 1.0)
#: Share of the units that go on where the exits have one-sided thresholds.
_SHARES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Outcome:
    """What a calibrated cascade does with N units, as fractions of all of them.

    Attributes:
        coverage: share accepted.
        risk: share of errors among the accepted; NaN where none is.
        accuracy: of all units with a label.
        cost: mean per unit.
        reached: per stage, which share ran it.
        quality: what systems are compared by, at these windows.
        flow: ``(stages, 3)``, how many units leave after each stage accepted and right, accepted and wrong, rejected.
    """

    coverage: float
    risk: float
    accuracy: float
    cost: float
    reached: list[float]
    quality: float
    flow: NDArray[np.int64]

    @classmethod
    def of(cls, split: StoredSplit, calibration: Calibration, measure: Measure) -> Outcome:
        """Route a split."""
        routes = split.routes(calibration)
        accept = np.inf if calibration.accept is None else calibration.accept
        accepted, wrong = routes.confidence >= accept, routes.wrong
        kind = np.where(accepted, wrong.astype(int), 2)
        flow = np.bincount(3 * routes.exit_stage + kind, minlength=3 * routes.stages).reshape(routes.stages, 3)
        known = split.labels >= 0
        return cls(
            float(accepted.mean()),
            float(wrong[accepted].mean()) if accepted.any() else float('nan'),
            float(1 - wrong[known].mean()) if known.any() else float('nan'),
            float(routes.cost.mean()),
            routes.reached(),
            float(measure.of(Resampling(routes.confidence, wrong).everybody())),
            flow,
        )


@dataclass(frozen=True)
class Setting:
    """One place of the sliders.

    Attributes:
        request: what it stands for.
        calibration: what calibrating for it gives; None where its target cannot be reached.
        outcome: on the split that is shown; None likewise.
        problem: why it cannot be reached.
    """

    request: CalibrationRequest
    calibration: Calibration | None = None
    outcome: Outcome | None = None
    problem: str = ''


@dataclass(frozen=True)
class Sliders:
    """All places of the two sliders.

    Attributes:
        risks: of the first.
        efforts: of the second: half-widths of windows, or shares of the units that go on.
        around: whether efforts are half-widths of windows around the decision.
        settings: by risk, then by effort.
        start: places of the sliders that are nearest to the calibration itself.
        exact: whether the calibration itself is what stands there.
    """

    risks: tuple[float, ...]
    efforts: tuple[float, ...]
    around: bool
    settings: tuple[tuple[Setting, ...], ...]
    start: tuple[int, int]
    exact: bool


def request_of(calibration: Calibration) -> CalibrationRequest:
    """What a calibration was asked for, as far as its file says it.

    A stream that its window was adjusted on is not known any more, and windows of a search are no fit.
    """
    promise, wanted = calibration.guarantee, Target.parse(calibration.target)
    further: dict[str, object] = {}
    if wanted.is_decision:
        further = dict(half_width=calibration.half_width, fit_on=calibration.fit_on, adapt=calibration.adapt)
        further['rule'] = 'paper' if calibration.rule == 'paper' else 'safe'
    if calibration.accept_target not in (None, calibration.target):
        further['accept'] = calibration.accept_target
    if calibration.max_cells is not None:
        further['max_cells'] = calibration.max_cells
    if promise is not None:
        further |= dict(certify=promise.delta, certify_share=promise.share, seed=promise.seed)
    return CalibrationRequest(
        calibration.target,
        maps='none' if calibration.maps is None else 'isotonic',
        temperatures=_temperatures(calibration),
        **further,  # type: ignore[arg-type]
    )


def sliders(
    evidence: Evidence,
    calibration: Calibration,
    shown: StoredSplit,
    measure: Measure,
    progress: Progress = no_progress,
) -> Sliders:
    """Calibrate for every place of the sliders, and route a split with each.

    Args:
        evidence: what the calibration was fitted on, as for its own request.
        calibration: what was made of it.
        shown: the split whose figures are shown; temperatures are those of the calibration.
        measure: what systems are compared by.
        progress: called with the number of finished and of all places.
    """
    request, wanted = request_of(calibration), Target.parse(calibration.target)
    around = wanted.is_decision
    risks = _risks(evidence, calibration, request)
    own = calibration.half_width if around else wanted.value if wanted.kind == 'deferred' else None
    # Where nobody goes on, there is nothing to place the next window on.
    efforts = _with(_HALF_WIDTHS[len(evidence.exits) > 2 :] if around else _SHARES, own)
    rows = []
    for row, risk in enumerate(risks):
        settings = []
        for column, effort in enumerate(efforts):
            asked = _asked(request, risk, effort, around)
            settings.append(_setting(asked, evidence, shown, measure))
            progress(row * len(efforts) + column + 1, len(risks) * len(efforts))
        rows.append(tuple(settings))
    start, exact = _start(rows, calibration, _cost(evidence, calibration))
    return Sliders(tuple(risks), tuple(efforts), around, tuple(rows), start, exact)


def _asked(request: CalibrationRequest, risk: float, effort: float, around: bool) -> CalibrationRequest:
    if around:
        return replace(request, target=f'risk={risk:g}', half_width=effort, accept=None)
    return replace(request, target=f'deferred={effort:g}', accept=f'risk={risk:g}')


def _setting(request: CalibrationRequest, evidence: Evidence, shown: StoredSplit, measure: Measure) -> Setting:
    try:
        calibration = fit(evidence, request)
    except ValueError as error:
        return Setting(request, problem=str(error))
    return Setting(request, calibration, Outcome.of(shown, calibration, measure))


def _risks(evidence: Evidence, calibration: Calibration, request: CalibrationRequest) -> list[float]:
    """Round risks up to the first that everything meets, and the one that was asked for."""
    most = float(np.mean(evidence.exits[-1].wrong))
    every = _RISKS + _HIGH_RISKS
    enough = next((place for place, risk in enumerate(every) if risk >= most), len(every) - 1)
    accept = Target.parse(request.accept_target) if request.accept_target else None
    own = accept.value if accept is not None and accept.kind == 'risk' else None
    return _with(every[: enough + 1], own)


def _with(values: Sequence[float], own: float | None) -> list[float]:
    return sorted({*values} if own is None else {*values, own})


def _start(rows: Sequence[Sequence[Setting]], calibration: Calibration, cost: float) -> tuple[tuple[int, int], bool]:
    """Where the calibration stands: exactly, or else what accepts and costs about the same."""
    distance, found = np.inf, (len(rows) - 1, 0)
    for row, settings in enumerate(rows):
        for column, setting in enumerate(settings):
            made = setting.calibration
            if made is None:
                continue
            if (made.windows, made.accept) == (calibration.windows, calibration.accept):
                return (row, column), True
            here, there = made.measured, calibration.measured
            apart = abs(here['macs'] / cost - 1) if cost else 0.0
            apart += abs((here.get('coverage') or 0) - (there.get('coverage') or 0))
            if apart < distance:
                distance, found = apart, (row, column)
    return found, False


def _cost(evidence: Evidence, calibration: Calibration) -> float:
    """What the calibrated cascade costs on the units that it was judged on, which may not be counted as in its file."""
    judged = evidence.judged_on
    return float(route(judged.exits, calibration.policy(), judged.units, maps=calibration.maps).cost.mean())


def _temperatures(calibration: Calibration) -> str:
    # Those of a segmentation cascade are its config's, and nothing is asked about them.
    if calibration.trials is not None or calibration.cascade.grid or 'miou' in calibration.measured:
        return 'auto'
    return 'none' if all(t == 1 for t in calibration.temperatures) else 'fit'
