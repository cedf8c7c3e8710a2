# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One temperature per stage, so that members speak with equal conviction before they are averaged."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from mmcascade.routing import CachedStage, StageOutput

#: Temperatures outside of this range mean a member that is always right, or useless.
RANGE = (0.05, 20.0)
#: An optimum as near to an end of the range, in log T, lies beyond it.
_AT_AN_END = 1e-2
_CHUNK = 4096  # units at a time, which bounds the memory for their scores


#: A temperature is believed if it gains so many standard errors of log-likelihood on units it was not fitted on.
EVIDENCE = 2.0


@dataclass(frozen=True)
class TemperatureTrial:
    """What a temperature per stage is worth, and what was decided.

    Attributes:
        temperature: that the stage has from now on; 1 where the fitted one was not believed.
        fitted: the one with the highest likelihood; 1 where there is none.
        gain: mean log-likelihood per unit (nats) that fitting adds on units that were not fitted on; None where
            nothing was to be fitted.
        error: standard error of the gain; None without one.
        reason: why there is none to fit, else None.
    """

    temperature: float
    fitted: float
    gain: float | None = None
    error: float | None = None
    reason: str | None = None


def fit_temperature(stage: CachedStage, labels: np.ndarray, units: np.ndarray | None = None) -> float:
    """The temperature with the lowest negative log-likelihood (Guo et al. 2017, section 4.2).

    Args:
        stage: stored logits or probabilities; units without finite output are left out.
        labels: int ``(N)``, the true classes.
        units: indexes of the units to fit on; default all.

    Returns:
        A number in :data:`RANGE`. 1, with a warning, where the likelihood has no optimum there: it rises for ever as
        T falls for a stage that is right on every unit, and as T grows for one that knows less than nothing. 1, too, if
        every temperature is as good.

    Raises:
        ValueError: if no unit has a finite output.
    """
    found, reason = _fitted(stage, labels, _finite(stage, labels, units))
    if reason is not None:
        warnings.warn(
            f'no temperature can be fitted to stage {stage.source or "without a name"}: {reason}. It keeps T = 1; '
            'calibrate on more, or harder, units',
            stacklevel=2,
        )
    return found


def try_temperature(stage: CachedStage, labels: np.ndarray, units: np.ndarray | None = None) -> TemperatureTrial:
    """Fit a temperature if the evidence is for one.

    The units are divided in two at random. The temperature of each part is tried on the other one: what it adds to the
    log-likelihood of the labels there is its gain. If the mean gain is more than :data:`EVIDENCE` standard errors, the
    temperature of all units is taken, else 1.

    Args:
        stage, labels, units: as for :func:`fit_temperature`.

    Raises:
        ValueError: if no unit has a finite output.
    """
    units = _finite(stage, labels, units)
    fitted, reason = _fitted(stage, labels, units)
    if reason is not None or fitted == 1:
        return TemperatureTrial(1.0, fitted, reason=reason)
    # RandomState, since NumPy keeps its streams for good; the units may be sorted by class.
    order = np.random.RandomState(0).permutation(len(units))
    halves = np.sort(units[order[::2]]), np.sort(units[order[1::2]])
    gains = np.concatenate(
        [_gain(stage, labels, tried, _half(stage, labels, half)) for half, tried in (halves, halves[::-1])]
    )
    gain, error = float(gains.mean()), float(gains.std(ddof=1) / math.sqrt(len(gains)))
    return TemperatureTrial(fitted if gain > EVIDENCE * error else 1.0, fitted, gain, error)


def _half(stage: CachedStage, labels: np.ndarray, units: np.ndarray) -> float:
    return _fitted(stage, labels, units)[0] if len(units) else 1.0


def _gain(stage: CachedStage, labels: np.ndarray, units: np.ndarray, temperature: float) -> np.ndarray:
    """Per unit, what a temperature adds to the log-likelihood of the label."""
    parts = [
        _of_label(stage, labels, part, temperature) - _of_label(stage, labels, part, 1.0) for part in _parts(units)
    ]
    return np.concatenate([part.numpy() for part in parts]) if parts else np.zeros(0)


def _finite(stage: CachedStage, labels: np.ndarray, units: np.ndarray | None) -> np.ndarray:
    units = np.arange(len(labels)) if units is None else units
    finite = np.concatenate([_output(stage, part).finite_rows().numpy() for part in _parts(units)])
    if not finite.any():
        raise ValueError(
            'a stage gave no finite output on any calibration unit; did its member run, with sound weights?'
        )
    return units[finite]


def _fitted(stage: CachedStage, labels: np.ndarray, units: np.ndarray) -> tuple[float, str | None]:
    """The best temperature of units with finite output; or 1, and why there is none."""
    reason = _no_optimum(stage, labels, units)
    if reason is not None:
        return 1.0, reason

    def loss(log_temperature: float) -> float:
        temperature = math.exp(log_temperature)
        return -sum(float(_of_label(stage, labels, part, temperature).sum()) for part in _parts(units)) / len(units)

    low, high = map(math.log, RANGE)
    found = minimize_scalar(loss, bounds=(low, high), method='bounded', options={'xatol': 1e-4})
    if not found.fun < loss(0.0):
        return 1.0, None
    if min(found.x - low, high - found.x) < _AT_AN_END:
        return 1.0, f'the likelihood is highest beyond the temperatures {RANGE[0]:g} to {RANGE[1]:g}'
    return math.exp(found.x), None


def _no_optimum(stage: CachedStage, labels: np.ndarray, units: np.ndarray) -> str | None:
    """Why no temperature is best: the loss is convex in 1 / T, and falls for ever at one of its ends."""
    errors, slope = 0, 0.0
    for part in _parts(units):
        scores = _output(stage, part).scaled_logits(1.0).double()
        of_label = scores.gather(1, torch.as_tensor(labels[part])[:, None])[:, 0]
        errors += int((of_label < scores.amax(1)).sum())
        slope += float((of_label - scores.mean(1)).sum())
    if slope == 0:  # every temperature is as good
        return None
    if not errors:
        return 'it is right on every calibration unit, so the likelihood rises for ever as T falls'
    return None if slope > 0 else 'its scores speak against the labels, so the likelihood rises for ever as T grows'


def _of_label(stage: CachedStage, labels: np.ndarray, units: np.ndarray, temperature: float) -> torch.Tensor:
    """Log-probability of each unit's label, float64."""
    log_probs = _output(stage, units).scaled_logits(temperature).log_softmax(1)
    return log_probs.gather(1, torch.as_tensor(labels[units])[:, None])[:, 0].double()


def _output(stage: CachedStage, units: np.ndarray) -> StageOutput:
    values = stage.values[torch.as_tensor(units)]
    return StageOutput(logits=values) if stage.is_logits else StageOutput(probabilities=values)


def _parts(units: np.ndarray) -> list[np.ndarray]:
    return [units[start : start + _CHUNK] for start in range(0, len(units), _CHUNK)]
