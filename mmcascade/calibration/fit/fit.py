# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Fit everything that a calibration file holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmcascade.calibration.fit.calibration_file import Calibration
from mmcascade.calibration.fit.deferred_shares import fit_shares
from mmcascade.calibration.fit.exit_maps import fit_exit_maps
from mmcascade.calibration.fit.guarantee import MIN_UNITS, Guarantee, guarantee
from mmcascade.calibration.fit.held_out import hold_out
from mmcascade.calibration.fit.operating_point import Target, operating_point, place_tau
from mmcascade.calibration.fit.temperatures import fit_temperature
from mmcascade.calibration.fit.windows import FittedWindows, fit_windows, judged_units
from mmcascade.calibration.replay.replay import Replay, replay
from mmcascade.calibration.stores.identity import CascadeIdentity
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.evaluation.curves.inputs import as_fraction
from mmcascade.routing import CachedStage, ExitPolicy, WindowPolicy
from mmcascade.routing.policies.adjusted_window_policy import MIN_SCORES

MAPS = ('none', 'isotonic')
TEMPERATURES = ('none', 'fit')


def fit_store(
    store: ScoreStore,
    identity: CascadeIdentity,
    target: str,
    *,
    accept: str | None = None,
    half_width: float = 0.10,
    rule: str = 'safe',
    fit_on: str = 'reached',
    maps: str = 'none',
    temperatures: str = 'none',
    certify: float | None = None,
    certify_share: float = 0.5,
    seed: int = 0,
) -> Calibration:
    """Fit temperatures, windows, maps and the accept threshold on a filled store of a cascade's stages, in order.

    The calibration data may hold units marked as out of distribution, with the label -1; none are needed (Xia &
    Bouganis 2023). Accepting one is an error for a risk, and for a score map. A TPR, a temperature and an accuracy
    leave them out, as do the targets accuracy=, macs= and deferred=.

    Args:
        store: scores on the calibration units.
        identity: the cascade; names its confidence function and fusion.
        target: 'risk=', 'coverage=' or 'tpr=' for windows around that decision; 'accuracy=', 'macs=' or 'deferred=' for
            one-sided thresholds.
        accept: target of the accept threshold. By default the target itself if it is a decision, else there is none.
        half_width, rule, fit_on: see :func:`~mmcascade.calibration.fit.windows.fit_windows`.
        maps: 'none', or 'isotonic' for a monotone map per exit from score to probability of being right.
        temperatures: 'none' for 1, or 'fit' for the temperature per stage with the lowest negative log-likelihood.
        certify: probability with which the promised risk may be exceeded; None promises nothing.
        certify_share: share of the units that the promise is tested on, and nothing else.
        seed: of the draw of those.

    Raises:
        ValueError: if a target cannot be reached, or the arguments contradict each other.
    """
    check_request(
        target,
        accept,
        maps=maps,
        temperatures=temperatures,
        certify=certify,
        half_width=half_width,
        certify_share=certify_share,
    )
    stages, labels = store.stages(), np.asarray(store.labels)
    units, held = np.arange(len(labels)), None
    if not (labels >= 0).any():
        raise ValueError('no calibration unit has a label, so nothing can be fitted')
    for index, stage in enumerate(stages):
        _check_ran(stage, index, units)
    if certify is not None:
        units, held = (units[part] for part in hold_out(labels[units], certify_share, seed))
        if len(held) < MIN_UNITS:
            raise ValueError(
                f'a guarantee needs at least {MIN_UNITS} calibration units of its own, and a share of '
                f'{certify_share} of {len(units) + len(held)} is {len(held)}; calibrate on more units'
            )
    if temperatures == 'fit':
        for stage in stages:
            stage.temperature = fit_temperature(stage, labels, units[labels[units] >= 0])
    wanted, scoring = Target.parse(target), dict(confidence=identity.scoring, fusion=identity.fusion)
    if wanted.is_decision:
        fitted = fit_windows(
            stages, labels, wanted, half_width=half_width, rule=rule, fit_on=fit_on, units=units, **scoring
        )  # type: ignore[arg-type]
    else:
        fitted = fit_shares(stages, labels, wanted, units=units[labels[units] >= 0], **scoring)  # type: ignore[arg-type]
    return finish(
        fitted,
        stages,
        labels,
        identity,
        store.header.identity.data.summary(),
        target,
        accept=accept,
        half_width=half_width,
        rule=rule,
        fit_on=fit_on,
        maps=maps,
        units=units,
        held=held,
        certify=certify,
        certify_share=certify_share,
        seed=seed,
    )


def finish(
    fitted: FittedWindows,
    stages: Sequence[CachedStage],
    labels: np.ndarray,
    identity: CascadeIdentity,
    data: dict[str, Any],
    target: str,
    *,
    accept: str | None = None,
    half_width: float = 0.10,
    rule: str = 'safe',
    fit_on: str = 'reached',
    policy: ExitPolicy | None = None,
    maps: str = 'none',
    units: np.ndarray | None = None,
    held: np.ndarray | None = None,
    certify: float | None = None,
    certify_share: float = 0.5,
    seed: int = 0,
) -> Calibration:
    """Fit maps and the accept threshold to given windows: on the scores of the finished cascade, as they are judged.

    The accept threshold meets its target on the calibration units whatever the rule; a certified one keeps its bound on
    the units held out. Another policy than the windows can take their place.

    Raises:
        ValueError: if no threshold meets the target.
    """
    units = np.arange(len(labels)) if units is None else units
    policy = policy or WindowPolicy(fitted.windows)
    scoring = (identity.scoring, identity.fusion)
    fitted_maps = None
    if maps == 'isotonic':
        fitted_maps = fit_exit_maps(stages, labels, policy, confidence=scoring[0], fusion=scoring[1], units=units)
    judged_on = units if held is None else held
    finished = replay(stages, policy, judged_on, *scoring, fitted_maps)
    labels = labels[judged_on]
    accept_target = accept or (target if Target.parse(target).is_decision else None)
    threshold, promise = _accept(finished, labels, accept_target, certify, certify_share, seed)
    return Calibration(
        cascade=identity,
        windows=fitted.windows,
        accept=threshold,
        temperatures=[stage.temperature for stage in stages],
        target=target,
        rule=rule,
        half_width=half_width,
        tau=fitted.tau,
        data=data,
        measured=measure(finished, labels, threshold, len(stages)),
        fit_on=fit_on,
        accept_target=accept_target,
        maps=fitted_maps,
        guarantee=promise,
    )


def measure(finished: Replay, labels: np.ndarray, accept: float | None, stages: int) -> dict[str, Any]:
    """What a cascade reaches on the units of a replay; shares and risks are fractions, MACs multiply-adds.

    The accuracy is that of the units with a label; for the rest, see :func:`fit_store`.
    """
    wrong = finished.label != labels
    measured: dict[str, Any] = {
        'units': len(labels),
        'accuracy': float(1 - wrong[labels >= 0].mean()),
        'macs': float(finished.macs.mean()),
        'reached': finished.reached(stages),
    }
    if accept is not None:
        point = operating_point(finished.confidence, wrong, accept)
        measured |= {'coverage': point.coverage, 'risk': point.risk}
    return measured


def check_request(
    target: str,
    accept: str | None = None,
    *,
    maps: str = 'none',
    temperatures: str = 'none',
    certify: float | None = None,
    half_width: float = 0.10,
    certify_share: float = 0.5,
    adapt: int | None = None,
    follows_stream: bool = False,
) -> None:
    """Raise ValueError if what is asked for is out of range or contradicts itself; before any long run.

    Args:
        target, accept, maps, temperatures, certify, half_width, certify_share: see :func:`fit_store`.
        adapt: how many scores the cascade is to remember at run time; None = it keeps its windows.
        follows_stream: whether the window of gap 0 is to be adjusted to unlabelled scores, once or at run time.
    """
    wanted = Target.parse(target)
    if accept is not None:
        if not Target.parse(accept).is_decision:
            raise ValueError(f'an accept threshold is placed for risk=, coverage= or tpr=, got {accept!r}')
        if wanted.is_decision and Target.parse(accept) != wanted:
            raise ValueError(
                f'the windows are to be placed for {target} and the accept threshold for {accept}: these '
                'are one decision; give it once'
            )
    for name, value, known in (('maps', maps, MAPS), ('temperatures', temperatures, TEMPERATURES)):
        if value not in known:
            raise ValueError(f'{name} must be one of {known}, got {value!r}')
    as_fraction(half_width, 'half_width')
    if not 0 < certify_share < 1:
        raise ValueError(
            f'the share of units that a guarantee is tested on lies strictly between 0 and 1, got {certify_share!r}'
        )
    if adapt is not None and adapt < MIN_SCORES:
        raise ValueError(f'the memory is a number of scores, at least {MIN_SCORES}, got {adapt!r}')
    if follows_stream and not wanted.is_decision:
        raise ValueError(
            f'only a window around a decision can follow the scores it meets, and {target} gives '
            'one-sided thresholds; use risk=, coverage= or tpr='
        )
    if certify is None:
        return
    if follows_stream:
        raise ValueError(
            'a guarantee holds for the windows it was made with: certify, or let the window follow the '
            'scores it meets, not both'
        )
    if not 0 < certify < 1:
        raise ValueError(f'the probability that a guarantee fails lies strictly between 0 and 1, got {certify!r}')
    promised = Target.parse(accept or target)
    if promised.kind != 'risk' or not 0 < promised.value < 1:
        raise ValueError(
            f'only a risk strictly between 0 and 1 can be certified, such as risk=0.05; the accept '
            f'threshold is to reach {accept or target}'
        )


def _check_ran(stage: CachedStage, index: int, units: np.ndarray) -> None:
    """Raise ValueError if a stage gave no finite output on any unit."""
    values = stage.values
    if not any(values[int(unit)].isfinite().all() for unit in units):
        raise ValueError(
            f'stage {index} gave no finite output on any calibration unit; did its member run, with sound weights?'
        )


def _accept(
    finished: Replay, labels: np.ndarray, target: str | None, certify: float | None, share: float, seed: int
) -> tuple[float | None, Guarantee | None]:
    """The accept threshold and what is promised of it."""
    if target is None:
        return None, None
    wrong = finished.label != labels
    if certify is None:
        return place_tau(*judged_units(finished, labels, target), target, 'safe'), None
    promise = guarantee(finished.confidence, wrong, Target.parse(target).value, certify, share=share, seed=seed)
    return promise.threshold, promise
