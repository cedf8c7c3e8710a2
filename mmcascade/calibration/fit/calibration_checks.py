# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a calibration file may say: numbers in range, and nothing that contradicts the rest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmcascade.calibration.fit.guarantee import Guarantee
from mmcascade.calibration.stores.data_identity import text
from mmcascade.routing import CONFIDENCES, FUSIONS
from mmcascade.routing.checks import finite, fraction, is_finite, whole

if TYPE_CHECKING:
    from mmcascade.calibration.fit.calibration_file import Calibration

RULES = ('safe', 'paper', 'search')
FIT_ON = ('reached', 'all')
#: Beyond these a temperature makes all classes, or none, equal in float32.
TEMPERATURES = (1e-6, 1e6)
#: Scores are computed in float32 and may leave their range by its rounding.
_ROUNDING = 1e-5


def check_calibration(calibration: Calibration) -> None:
    """Raise ValueError or TypeError, naming the entry, if a calibration makes no sense."""
    stages = len(calibration.cascade.stages)
    if not stages:
        raise ValueError('a cascade has at least one stage')
    for name, wanted in (('windows', stages - 1), ('temperatures', stages), ('maps', stages)):
        entries = getattr(calibration, name)
        if entries is not None and len(_list(entries, name)) != wanted:
            raise ValueError(f'{stages} stages need {wanted} {name}, got {len(entries)}')
    for temperature in calibration.temperatures:
        if not is_finite(temperature) or not TEMPERATURES[0] <= temperature <= TEMPERATURES[1]:
            raise ValueError(f'a temperature lies within {TEMPERATURES}, got {temperature!r}')
    _check_request(calibration)
    _check_scores(calibration)
    if calibration.guarantee is not None:
        check_guarantee(calibration.guarantee)
        if calibration.guarantee.threshold != calibration.accept:
            raise ValueError(
                f'the guarantee is one for the threshold {calibration.guarantee.threshold!r}, and accept is '
                f'{calibration.accept!r}: it does not hold for that'
            )
    calibration.policy()  # refuses windows, memories and budgets that make no sense


def check_guarantee(promise: Guarantee) -> None:
    """Raise ValueError if a guarantee is not what its own counts say."""
    for name in ('risk', 'delta', 'share'):
        if not 0 < finite(getattr(promise, name), f'{name} of a guarantee') < 1:
            raise ValueError(f'{name} of a guarantee lies strictly between 0 and 1, got {getattr(promise, name)!r}')
    whole(promise.units, 'units of a guarantee', least=1)
    whole(promise.seed, 'seed of a guarantee', least=0)
    whole(promise.accepted, 'accepted of a guarantee', least=0)
    whole(promise.errors, 'errors of a guarantee', least=0)
    fraction(promise.lowest_risk, 'lowest_risk of a guarantee')
    if not promise.errors <= promise.accepted <= promise.units:
        raise ValueError(
            f'a guarantee counts {promise.errors} errors among {promise.accepted} accepted of {promise.units} units'
        )
    if (promise.threshold is None) != (promise.bound is None):
        raise ValueError('a guarantee has a bound exactly if it has a threshold')
    if promise.threshold is None:
        return
    finite(promise.threshold, 'threshold of a guarantee')
    bound = finite(promise.bound, 'bound of a guarantee')
    if not promise.accepted or not math.isclose(bound, promise.upper_bound(), rel_tol=1e-6) or bound > promise.risk:
        raise ValueError(
            f'the guarantee says that the risk is at most {bound:g}, and its counts do not: {promise.errors} errors '
            f'among {promise.accepted} accepted at delta {promise.delta:g}'
        )


def _check_request(calibration: Calibration) -> None:
    text(calibration.target, 'target')
    if calibration.accept_target is not None:
        text(calibration.accept_target, 'accept_target')
    for name, known in (('rule', RULES), ('fit_on', FIT_ON)):
        if getattr(calibration, name) not in known:
            raise ValueError(f'{name} is one of {known}, got {getattr(calibration, name)!r}')
    fraction(calibration.half_width, 'half_width')
    if calibration.adapt is not None:
        whole(calibration.adapt, 'adapt', least=1)
    for name in ('data', 'measured'):
        if not isinstance(getattr(calibration, name), Mapping):
            raise ValueError(f'{name} is an object, got {getattr(calibration, name)!r}')
    if 'units' in calibration.data:
        whole(calibration.data['units'], 'units of the data', least=0)


def _check_scores(calibration: Calibration) -> None:
    """Every score lies where its confidence function can put it."""
    cascade = calibration.cascade
    if cascade.fusion not in FUSIONS:
        raise ValueError(f'fusion is one of {FUSIONS}, got {cascade.fusion!r}')
    name = text(cascade.confidence, 'confidence')
    known = (-math.inf, math.inf)
    if name in CONFIDENCES:  # others were fitted, or belong to whoever registered them
        known = CONFIDENCES[name].range
    ends = [end for window in calibration.windows if window is not None for end in window if end is not None]
    if len(_list(calibration.tau, 'tau')) > len(calibration.windows):
        raise ValueError(f'tau has one score per gap, got {len(calibration.tau)}')
    _check_inside(ends, known, 'a window', name)
    _check_inside(calibration.tau, known, 'tau', name)
    if calibration.accept is not None:
        judged = known if calibration.maps is None else (0.0, 1.0)
        _check_inside([calibration.accept], judged, 'accept', name if calibration.maps is None else 'a score map')


def _check_inside(scores: list[Any], known: tuple[float, float], what: str, name: str) -> None:
    for score in scores:
        value = finite(score, what)
        if not known[0] - _ROUNDING <= value <= known[1] + _ROUNDING:
            raise ValueError(f'{what} of {value:g} cannot be: {name} gives scores from {known[0]} to {known[1]}')


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f'{name} is a list, got {value!r}')
    return list(value)
