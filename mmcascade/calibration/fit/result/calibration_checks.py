# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a calibration file may say: numbers in range, and nothing that contradicts the rest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mmcascade.calibration.fit.result.guarantee import Guarantee
from mmcascade.calibration.fit.scores.temperatures import TemperatureTrial
from mmcascade.calibration.stores.data_identity import text
from mmcascade.calibration.stores.identity import CascadeIdentity
from mmcascade.routing import CONFIDENCES, FUSIONS
from mmcascade.routing.checks import finite, fraction, whole
from mmcascade.routing.policies.policies import Window

RULES = ('safe', 'paper', 'search')
FIT_ON = ('reached', 'all')
#: Beyond these a temperature makes all classes, or none, equal in float32.
TEMPERATURES = (1e-6, 1e6)
#: Scores are computed in float32 and may leave their range by its rounding.
_ROUNDING = 1e-5


def check_guarantee(promise: Guarantee) -> None:
    """Raise ValueError if a guarantee is not what its own counts say."""
    for name in ('risk', 'delta', 'share'):
        if not 0 < finite(getattr(promise, name), f'{name} of a guarantee') < 1:
            raise ValueError(f'{name} of a guarantee lies strictly between 0 and 1, got {getattr(promise, name)!r}')
    whole(promise.units, 'units of a guarantee', least=1)
    whole(promise.seed, 'seed of a guarantee', least=0)
    whole(promise.accepted, 'accepted of a guarantee', least=0)
    if promise.stake is None:
        whole(promise.errors, 'errors of a guarantee', least=0)
    elif finite(promise.errors, 'errors of a guarantee') < 0 or not 0 < finite(promise.stake, 'stake') <= 1:
        raise ValueError(
            f'the losses and the stake of a guarantee are no less than 0, and the stake at most 1, got '
            f'{promise.errors!r} and {promise.stake!r}'
        )
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
    if promise.stake is not None:  # the bound follows from the losses one by one, which a file does not hold
        sound = promise.accepted > 0 and promise.errors / promise.accepted <= bound
    else:
        sound = promise.accepted > 0 and math.isclose(bound, promise.upper_bound(), rel_tol=1e-6)
    if not sound or bound > promise.risk:
        raise ValueError(
            f'the guarantee says that the risk is at most {bound:g}, and its counts do not: {promise.errors} errors '
            f'among {promise.accepted} accepted at delta {promise.delta:g}'
        )


def check_trial(trial: TemperatureTrial, temperature: float) -> None:
    """Raise ValueError if a trial is not that of the temperature, or not made of numbers."""
    for name in ('temperature', 'fitted'):
        finite(getattr(trial, name), f'{name} of a trial')
    if trial.temperature != temperature:
        raise ValueError(f'a trial found the temperature {trial.temperature!r}, and the stage has {temperature!r}')
    if (trial.gain is None) != (trial.error is None):
        raise ValueError('a trial of a temperature has an error exactly if it has a gain')
    for value in (trial.gain, trial.error):
        if value is not None:
            finite(value, 'gain or error of a trial')
    if trial.reason is not None:
        text(trial.reason, 'reason of a trial')


def check_scores(
    cascade: CascadeIdentity, windows: Sequence[Window | None], tau: Any, accept: Sequence[float], mapped: bool
) -> None:
    """Raise ValueError or TypeError if a score lies where its confidence function cannot put it.

    Args:
        cascade: says which function.
        windows: of the gaps.
        tau: one score per gap at most.
        accept: the thresholds of acceptance.
        mapped: it is compared with mapped scores.
    """
    if cascade.fusion not in FUSIONS:
        raise ValueError(f'fusion is one of {FUSIONS}, got {cascade.fusion!r}')
    name = text(cascade.confidence, 'confidence')
    known = (-math.inf, math.inf)
    if name in CONFIDENCES:  # others were fitted, or belong to whoever registered them
        known = CONFIDENCES[name].range
    ends = [end for window in windows if window is not None for end in window if end is not None]
    if len(as_list(tau, 'tau')) > len(windows):
        raise ValueError(f'tau has one score per gap, got {len(tau)}')
    _check_inside(ends, known, 'a window', name)
    _check_inside(tau, known, 'tau', name)
    judged, judge = ((0.0, 1.0), 'a score map') if mapped else (known, name)
    _check_inside(list(accept), judged, 'accept', judge)


def _check_inside(scores: list[Any], known: tuple[float, float], what: str, name: str) -> None:
    for score in scores:
        value = finite(score, what)
        if not known[0] - _ROUNDING <= value <= known[1] + _ROUNDING:
            raise ValueError(f'{what} of {value:g} cannot be: {name} gives scores from {known[0]} to {known[1]}')


def as_list(value: Any, name: str) -> list[Any]:
    """A list or tuple as a list; raises ValueError on anything else."""
    if not isinstance(value, (list, tuple)):
        raise ValueError(f'{name} is a list, got {value!r}')
    return list(value)
