# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One temperature per stage, so that members speak with equal conviction before they are averaged."""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from mmcascade.routing import CachedStage, StageOutput

#: Temperatures outside of this range mean a member that is always right, or useless.
RANGE = (0.05, 20.0)
#: An optimum as near to an end of the range, in log T, lies beyond it.
_AT_AN_END = 1e-2
_CHUNK = 4096  # units at a time, which bounds the memory for their scores


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
    units = np.arange(len(labels)) if units is None else units
    finite = np.concatenate([_output(stage, part).finite_rows().numpy() for part in _parts(units)])
    units = units[finite]
    if not len(units):
        raise ValueError(
            'a stage gave no finite output on any calibration unit; did its member run, with sound weights?'
        )

    reason = _no_optimum(stage, labels, units)
    if reason is not None:
        return _kept(stage, reason)

    def loss(log_temperature: float) -> float:
        return sum(_loss_sum(stage, labels, part, math.exp(log_temperature)) for part in _parts(units)) / len(units)

    low, high = map(math.log, RANGE)
    found = minimize_scalar(loss, bounds=(low, high), method='bounded', options={'xatol': 1e-4})
    if not found.fun < loss(0.0):
        return 1.0
    if min(found.x - low, high - found.x) < _AT_AN_END:
        return _kept(stage, f'the likelihood is highest beyond the temperatures {RANGE[0]:g} to {RANGE[1]:g}')
    return math.exp(found.x)


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


def _kept(stage: CachedStage, reason: str) -> float:
    warnings.warn(
        f'no temperature can be fitted to stage {stage.source or "without a name"}: {reason}. It keeps T = 1; '
        'calibrate on more, or harder, units',
        stacklevel=3,
    )
    return 1.0


def _loss_sum(stage: CachedStage, labels: np.ndarray, units: np.ndarray, temperature: float) -> float:
    log_probs = _output(stage, units).scaled_logits(temperature).log_softmax(1)
    return -float(log_probs.gather(1, torch.as_tensor(labels[units])[:, None]).double().sum())


def _output(stage: CachedStage, units: np.ndarray) -> StageOutput:
    values = stage.values[torch.as_tensor(units)]
    return StageOutput(logits=values) if stage.is_logits else StageOutput(probabilities=values)


def _parts(units: np.ndarray) -> list[np.ndarray]:
    return [units[start : start + _CHUNK] for start in range(0, len(units), _CHUNK)]
