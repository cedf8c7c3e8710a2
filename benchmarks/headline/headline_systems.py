# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The systems of the headline, fitted on some stored images and judged on others."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from mmcascade.calibration.fit.calibrate import calibration_of, fit
from mmcascade.calibration.fit.certificates.held_out import hold_out_at_random
from mmcascade.calibration.fit.evidence import Evidence
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.scores.temperatures import fit_temperature, try_temperature
from mmcascade.calibration.fit.thresholds.fitted_windows import FittedWindows
from mmcascade.calibration.fit.thresholds.operating_point import place_tau
from mmcascade.calibration.fit.two_sided.windows import fit_windows
from mmcascade.calibration.replay.routes import route
from mmcascade.calibration.stores.identity import CascadeIdentity, StageIdentity
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.routing import CachedStage, ExitPolicy, RandomPolicy, WindowPolicy
from mmcascade.routing.confidences.score_maps import ScoreMap
from mmcascade.routing.policies.policies import Window

Rows = NDArray[np.int64]
#: Of further windows, as a share of the images to each side.
HALF_WIDTHS = (0.05, 0.15, 0.20, 0.30)


@dataclass(frozen=True)
class Setting:
    """What is asked of every system.

    Attributes:
        risk: largest share of errors among accepted images.
        delta: probability with which a certificate may fail.
        half_width: of windows.
        temperatures: see :class:`~mmcascade.calibration.fit.request.CalibrationRequest`.
    """

    risk: float = 0.05
    delta: float = 0.1
    half_width: float = 0.10
    temperatures: str = 'auto'

    @property
    def target(self) -> str:
        return f'risk={self.risk}'


@dataclass(frozen=True)
class Decided:
    """What a system does with N images that it was not fitted on.

    Attributes:
        confidence: float64 ``(N)``, higher is more certain.
        wrong: bool ``(N)``.
        macs: float64 ``(N)``.
        accepted: bool ``(N)``, by the threshold that its calibration gave.
    """

    confidence: NDArray[np.float64]
    wrong: NDArray[np.bool_]
    macs: NDArray[np.float64]
    accepted: NDArray[np.bool_]


class Pool:
    """A chain of members on the images of a calibration and a test store.

    Args:
        stores: these two.
        chain: names of members, in order.
    """

    def __init__(self, stores: Sequence[ScoreStore], chain: Sequence[str]) -> None:
        names = [stage.member for stage in stores[0].header.identity.stages]
        parts = [store.stages() for store in stores]
        self.chain = tuple(chain)
        self.stages = [
            CachedStage(
                torch.cat([part[k].values for part in parts]),
                is_logits=parts[0][k].is_logits,
                macs=torch.cat([torch.as_tensor(part[k].macs).expand(len(part[k].values)) for part in parts]),
            )
            for k in (names.index(member) for member in chain)
        ]
        self.labels = np.concatenate([store.labels for store in stores])
        self.known = stores[0].units

    def __len__(self) -> int:
        return len(self.labels)

    def scaled(self, units: Rows, temperatures: str) -> list[CachedStage]:
        """The stages with temperatures that are fitted on some units."""
        return [
            replace(stage, temperature=temperature_of(stage, self.labels, units, temperatures)) for stage in self.stages
        ]

    def evidence(
        self, stages: Sequence[CachedStage], first: int = 0, fusion: str = 'prob', confidence: str = 'max_prob'
    ) -> Evidence:
        """A cascade of stages from a first one on, on all images."""
        members = tuple(StageIdentity(name, 0, '') for name in self.chain[first:])
        return Evidence.of_stages(stages[first:], self.labels, CascadeIdentity(members, confidence, fusion))


def temperature_of(stage: CachedStage, labels: NDArray[np.int64], units: Rows, how: str) -> float:
    """As a calibration finds it."""
    if how == 'auto':
        return try_temperature(stage, labels, units).temperature
    return 1.0 if how == 'none' else fit_temperature(stage, labels, units)


def decide(
    pool: Pool, known: Rows, unseen: Rows, setting: Setting, seed: int = 0, without: Collection[str] = ()
) -> dict[str, Decided]:
    """All systems but some, fitted on known images and run on unseen ones; both rising.

    What cannot be fitted is left out.

    Windows, thresholds and random deferral send on the same share of the images that reach a gap.
    """
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # few images, the paper's rule: the table shows what comes of it
        task = _Task(pool, known, unseen, setting, seed)
        made = {name: make(task) for name, make in SYSTEMS.items() if name not in without}
    return {name: decided for name, decided in made.items() if decided is not None}


class _Task:
    """One division of the images, with what several systems share."""

    def __init__(self, pool: Pool, known: Rows, unseen: Rows, setting: Setting, seed: int) -> None:
        self.pool, self.known, self.unseen, self.setting, self.seed = pool, known, unseen, setting, seed
        self.gaps = len(pool.chain) - 1
        self.stages = pool.scaled(known, setting.temperatures)
        self.evidence = pool.evidence(self.stages)
        self.seen = self.evidence.only(known)
        self.request = CalibrationRequest(setting.target, half_width=setting.half_width, temperatures='none')
        self.share = _shares(self.seen, self.request)


def _shares(seen: Evidence, request: CalibrationRequest) -> float:
    """How many of the images that reach gap 0 its window sends on."""
    windows = fit_windows(seen.exits, seen.units, request).windows
    return route(seen.exits, WindowPolicy(windows), seen.units).deferred[0]


def _run(
    evidence: Evidence,
    policy: ExitPolicy,
    unseen: Rows,
    threshold: float | None,
    maps: Sequence[ScoreMap | None] | None = None,
) -> Decided:
    new = evidence.only(unseen)
    routes = route(new.exits, policy, new.units, maps=maps)
    confidence = routes.confidence.astype(np.float64)
    return Decided(confidence, routes.wrong, routes.cost, confidence >= (np.inf if threshold is None else threshold))


def _fixed(task: _Task, policy: ExitPolicy, first: int = 0) -> Decided:
    """Given exits, and an accept threshold that meets the target on the known images, if any does."""
    evidence = task.pool.evidence(task.stages, first) if first else task.evidence
    fitted = FittedWindows([None] * policy.num_gaps, [])
    try:
        accept = calibration_of(fitted, evidence.only(task.known), task.request, policy).accept
    except ValueError:
        accept = None
    return _run(evidence, policy, task.unseen, accept)


def _window(task: _Task) -> Decided:
    return _fitted(task, task.request)


def _mapped(task: _Task) -> Decided:
    """With a score map per exit."""
    return _fitted(task, replace(task.request, maps='isotonic'))


def _as_wide_as(half_width: float) -> Callable[[_Task], Decided]:
    return lambda task: _fitted(task, replace(task.request, half_width=half_width))


def _fitted(task: _Task, request: CalibrationRequest) -> Decided:
    found = fit(task.seen, request)
    return _run(task.evidence, found.policy(), task.unseen, found.accept, found.maps)


def _certified(task: _Task) -> Decided:
    """As the tool: on the part held out, nothing else is fitted."""
    setting = task.setting
    request = replace(task.request, certify=setting.delta)
    fitted_on, held = hold_out_at_random(len(task.known), request.certify_share, task.seed)
    evidence = task.pool.evidence(task.pool.scaled(task.known[fitted_on], setting.temperatures))
    found = fit(replace(evidence.only(task.known), held=held), request)
    return _run(evidence, found.policy(), task.unseen, found.accept)


def _paper(task: _Task) -> Decided:
    """Window and accept threshold at the nearest point of the curve, without the first 500 images."""
    found = fit(task.seen, replace(task.request, rule='paper'))
    routes = route(task.seen.exits, found.policy(), task.seen.units)
    accept = place_tau(routes.confidence, routes.wrong, task.setting.target, 'paper')
    return _run(task.evidence, found.policy(), task.unseen, accept)


def _threshold(task: _Task) -> Decided:
    return _fitted(task, CalibrationRequest(f'deferred={task.share}', accept=task.setting.target, temperatures='none'))


def _random(task: _Task) -> Decided:
    return _fixed(task, RandomPolicy([task.share] * task.gaps, seed=task.seed))


def _fallback(task: _Task) -> Decided | None:
    """Thresholds that scikit-fallback's cross-validation finds within the cost of the window cascade.

    It replaces a prediction where others average. None where the library is missing, or cannot do it.
    """
    try:
        from scikit_fallback_thresholds import cross_validated
    except ImportError:
        return None
    macs = [float(torch.as_tensor(stage.macs).float().mean()) for stage in task.stages]
    budget = macs[0] + sum(task.share ** (k + 1) * cost for k, cost in enumerate(macs[1:]))
    probabilities = [_probabilities(stage, task.known) for stage in task.pool.stages]
    thresholds = cross_validated(probabilities, task.pool.labels[task.known], macs, budget)
    if thresholds is None:
        return None
    evidence = task.pool.evidence(task.pool.stages, fusion='replace')
    policy = WindowPolicy([_below(threshold) for threshold in thresholds])
    try:
        accept = calibration_of(FittedWindows(policy.rules, []), evidence.only(task.known), task.request, policy).accept
    except ValueError:
        accept = None
    return _run(evidence, policy, task.unseen, accept)


def _probabilities(stage: CachedStage, units: Rows) -> NDArray[np.float32]:
    values = stage.values[torch.as_tensor(units)]
    return (values.softmax(1) if stage.is_logits else values).numpy()


def _below(threshold: float) -> Window:
    """Who goes on has a score below, where a window holds its bounds."""
    return None, float(np.nextafter(np.float32(threshold), np.float32(-np.inf)))


def _or_none(make: Callable[[_Task], Decided | None]) -> Callable[[_Task], Decided | None]:
    """None where the target cannot be reached on these images."""

    def made(task: _Task) -> Decided | None:
        try:
            return make(task)
        except ValueError:
            return None

    return made


#: Per name, from a division of the images to decisions.
SYSTEMS: dict[str, Callable[[_Task], Decided | None]] = {
    'first member': lambda task: _fixed(task, WindowPolicy([None] * task.gaps)),
    'last member': lambda task: _fixed(task, WindowPolicy([]), task.gaps),
    'ensemble': lambda task: _fixed(task, WindowPolicy([(None, None)] * task.gaps)),
    'window': _or_none(_window),
    'threshold': _or_none(_threshold),
    'random': _or_none(_random),
    'window, certified': _or_none(_certified),
    "window, the paper's rule": _or_none(_paper),
    'window + maps': _or_none(_mapped),
    **{f'window {100 * half:.0f} %': _or_none(_as_wide_as(half)) for half in HALF_WIDTHS},
    'scikit-fallback': _or_none(_fallback),
}
