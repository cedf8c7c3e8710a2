# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Fit everything that a calibration file holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.fit.accepting.accept import accepting
from mmcascade.calibration.fit.evidence import Evidence
from mmcascade.calibration.fit.one_sided.geometric import RATIOS, fit_geometric
from mmcascade.calibration.fit.one_sided.shares import Shares, fit_shares
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.fit.result.measured import measured
from mmcascade.calibration.fit.scores.exit_maps import fit_maps
from mmcascade.calibration.fit.thresholds.fitted_windows import FittedWindows
from mmcascade.calibration.fit.two_sided.adjust import adjust
from mmcascade.calibration.fit.two_sided.decision import CellDecision, Decision
from mmcascade.calibration.fit.two_sided.searched import fit_two_sided
from mmcascade.calibration.fit.two_sided.windows import fit_windows
from mmcascade.calibration.replay.routes import route
from mmcascade.calibration.stores import AnyStore
from mmcascade.calibration.stores.identity import CascadeIdentity
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.routing import ExitPolicy, WindowPolicy


def calibrate(
    store: AnyStore,
    identity: CascadeIdentity,
    request: CalibrationRequest,
    stream: ScoreStore | None = None,
) -> Calibration:
    """Fit temperatures, windows, maps and the accept threshold on a filled store of a cascade's stages, in order.

    Calibration data of classifiers may hold units marked as out of distribution, with the label -1; none are needed
    (Xia & Bouganis 2023). Accepting one is an error for a risk, and for a score map. A TPR, a temperature and an
    accuracy leave them out, as do the targets accuracy=, macs=, deferred= and exits=.

    Args:
        store: scores of images, or cells of segmented ones.
        identity: the cascade; names its confidence function and fusion.
        request: what is asked for.
        stream: scores of stage 0 on unlabelled images, which the window of gap 0 is re-centred on.

    Raises:
        ValueError: if a target cannot be reached, or the request does not fit the store.

    Example:
        >>> import tempfile, torch
        >>> from mmcascade.calibration.stores.identity import StageIdentity
        >>> from mmcascade.routing import StageOutput
        >>> generator = torch.Generator().manual_seed(0)
        >>> labels = torch.randint(4, (400,), generator=generator)
        >>> right = torch.nn.functional.one_hot(labels, 4)
        >>> def stage(skill, macs):
        ...     return StageOutput(logits=skill * right + torch.randn(400, 4, generator=generator), macs=macs)
        >>> members = tuple(StageIdentity(name, view=0, weights=name) for name in ('small', 'large'))
        >>> outputs = [stage(1.5, 1.0), stage(4.0, 10.0)]
        >>> store = ScoreStore.of_outputs(tempfile.mkdtemp(), members, outputs, labels)
        >>> identity = CascadeIdentity(members, 'max_prob', 'prob')
        >>> made = calibrate(store, identity, CalibrationRequest('risk=0.1', half_width=0.2))
        >>> made.measured['risk'] <= 0.1, [round(share, 1) for share in made.measured['reached']]
        (True, [1.0, 0.4])
    """
    return fit(Evidence.of(store, identity, request), request, stream)


def fit(evidence: Evidence, request: CalibrationRequest, stream: ScoreStore | None = None) -> Calibration:
    """The same as :func:`calibrate`, on exits that are there already."""
    calibration = _unfinished(_windows(evidence.fitted_on, request), evidence, request)
    if stream is not None:
        calibration = adjust(calibration, stream.stages()[0], stream.units)
    calibration = _finished(calibration, evidence, request, calibration.policy())
    if request.adapt is not None:
        calibration = replace(calibration, adapt=request.adapt)
        calibration.policy()  # refuses a cascade without a gap before any file is written
    return calibration


def calibration_of(
    fitted: FittedWindows, evidence: Evidence, request: CalibrationRequest, policy: ExitPolicy | None = None
) -> Calibration:
    """The calibration with given windows: maps and accept threshold are fitted on the cascade that they make.

    The accept threshold meets its target on the calibration units whatever the rule; a certified one keeps its bound on
    the units held out. It lies midway between two scores.

    Args:
        fitted: the windows.
        evidence: what to fit on.
        request: what is asked for beside the windows.
        policy: another one that takes their place.

    Raises:
        ValueError: if no threshold meets the target.
    """
    calibration = _unfinished(fitted, evidence, request)
    return _finished(calibration, evidence, request, policy or calibration.policy())


def _windows(fitted_on: Evidence, request: CalibrationRequest) -> FittedWindows:
    """What a request places, by the kind of its target."""
    wanted, max_cells = request.wanted, request.max_cells
    if wanted.is_decision:
        decision = Decision(request) if fitted_on.units.label is None else CellDecision(request)
        return fit_windows(fitted_on.exits, fitted_on.units, request, fitted_on.cascade.least_members, decision)
    if wanted.kind == 'exits':
        return fit_geometric(fitted_on.known.exits, wanted.value)
    known = fitted_on.known
    quality = known.quality(wanted)
    if request.windows == 'two-sided':
        return fit_two_sided(known.exits, known.units, wanted, quality, max_cells)
    return fit_shares(known.exits, known.units, wanted, max_cells, quality)


def _unfinished(fitted: FittedWindows, evidence: Evidence, request: CalibrationRequest) -> Calibration:
    """A calibration with nothing but windows."""
    around = request.wanted.is_decision or evidence.units.label is None
    return Calibration(
        cascade=evidence.cascade,
        windows=fitted.windows,
        accept=None,
        temperatures=evidence.temperatures,
        target=request.target,
        rule=request.rule,
        half_width=request.half_width if around else 0.0,
        tau=fitted.tau,
        data=evidence.data,
        fit_on=request.fit_on,
        accept_target=request.accept_target,
        max_cells=request.max_cells,
        trials=evidence.trials,
    )


def _finished(
    calibration: Calibration, evidence: Evidence, request: CalibrationRequest, policy: ExitPolicy
) -> Calibration:
    """The same with all that follows from where units leave."""
    fitted_on, judged = evidence.fitted_on, evidence.judged_on
    seen, maps = route(fitted_on.exits, policy, fitted_on.units), None
    if request.maps != 'none':
        maps = fit_maps(fitted_on.exits, seen.exit_stage)
        seen = seen.judged_by(maps)
    routes = seen if evidence.held is None else route(judged.exits, policy, judged.units, maps=maps)
    of_a_class = None if request.wanted.class_name is None else evidence.quality(request.wanted)
    calibration = replace(calibration, maps=maps, measured=measured(routes, policy, quality=of_a_class))
    return accepting(calibration, seen, routes, request)


def share_curve(
    evidence: Evidence, max_cells: int | None = None, steps: int = 200
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Quality and mean multiply-adds per image of a cascade, at rising shares of units that go on."""
    shares = Shares(evidence.exits, evidence.units, max_cells)
    return shares.figures(np.arange(steps + 1) / steps * shares.able)


def budgeted_curve(
    evidence: Evidence, judged: Evidence | None = None, ratios: Sequence[float] = RATIOS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Accuracy and mean multiply-adds of geometric exits (Huang et al. 2018), at each ratio of neighbouring shares.

    Args:
        evidence: what thresholds are fitted on.
        judged: the same cascade on the units that the curve is about; by default those that it was fitted on.
        ratios: see :func:`~mmcascade.calibration.fit.one_sided.geometric.geometric_shares`.
    """
    on = (judged or evidence).known
    routes = [
        route(on.exits, WindowPolicy(fit_geometric(evidence.known.exits, ratio).windows), on.units) for ratio in ratios
    ]
    return np.array([1 - each.wrong.mean() for each in routes]), np.array([each.cost.mean() for each in routes])


def anytime_curve(evidence: Evidence) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Accuracy and mean multiply-adds when every unit stops at an exit, for each exit, ``(stages)``.

    Anytime prediction (Huang et al. 2018): the budget of a unit ends at a moment that nobody knows, and the answer is
    that of the last exit that was passed. All stages up to an exit have run.
    """
    known, count = evidence.known, len(evidence.exits)
    macs = np.cumsum([added.mean() for added in known.units.costs.along(tuple(range(count)))])
    return np.array([1 - exit_.wrong.mean() for exit_ in known.exits]), macs
