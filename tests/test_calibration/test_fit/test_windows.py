# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Windows and policies over stored scores, against published golden values."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmcascade.calibration.replay.replay import replay
from mmcascade.evaluation.curves import aurc, coverage_at_risk, risk_at_coverage
from mmcascade.routing import CachedStage, WindowPolicy
from tests.support.stored.calibrating import windows_of

N, CLASSES = 2000, 10

# target: tau, window, share deferred, accuracy, AURC (trapezoid), coverage at 5 % and 10 % risk (nearest point),
# risk at 50 % and 80 % coverage; paper placement, the same units for tuning and test
GOLDEN = {
    'risk=0.05': (0.6491197528, (0.569139, 0.728832), 0.200, 0.7485, 0.0745024384, 0.5315, 0.6640, 0.0380, 0.159375),
    'risk=0.10': (0.5321772990, (0.452155, 0.611689), 0.200, 0.7510, 0.0780921598, 0.4400, 0.6750, 0.0620, 0.156250),
    'coverage=0.5': (0.5999307719, (0.520252, 0.679755), 0.200, 0.7505, 0.0752287677, 0.5200, 0.6705, 0.0460, 0.156875),
    'coverage=0.8': (0.3599894229, (0.280140, 0.439989), 0.200, 0.7610, 0.0829429225, 0.4385, 0.5810, 0.0690, 0.162500),
}


@pytest.fixture(scope='module')
def stages():
    """Two stages whose confidences and errors follow from the fractional parts of irrational multiples."""
    i = np.arange(1, N + 1)
    u, v, w = ((i * x) % 1.0 for x in (0.6180339887498949, 0.7548776662466927, 0.5698402909980532))
    s = 0.8 * u + 0.2 * w
    return [_stage(0.2 + 0.8 * u, v < 0.3 + 0.9 * u, 1.0), _stage(0.2 + 0.8 * s, v < 0.4 + 0.9 * s, 1.0)]


def _stage(confidence, right, macs):
    """Class 0 is the truth everywhere; float64 keeps all digits of the golden values."""
    probs = np.repeat((1 - confidence)[:, None] / (CLASSES - 1), CLASSES, 1)
    probs[np.arange(N), np.where(right, 0, 1)] = confidence
    return CachedStage(torch.from_numpy(probs), is_logits=False, macs=macs)


@pytest.mark.parametrize('target', GOLDEN)
def test_golden_values(stages, target):
    tau, window, share, accuracy, area, cov5, cov10, risk50, risk80 = GOLDEN[target]
    labels = np.zeros(N, dtype=int)
    fitted = windows_of(stages, labels, target, rule='paper', fusion='replace')
    assert fitted.tau == [pytest.approx(tau, abs=1e-9)]
    assert fitted.windows[0] == pytest.approx(window, abs=1e-6)
    result = replay(stages, WindowPolicy(fitted.windows), N, fusion='replace')
    wrong = result.label != labels
    assert result.exit_stage.mean() == share
    assert result.macs.mean() == pytest.approx(1 + share)
    assert 1 - wrong.mean() == pytest.approx(accuracy, abs=1e-12)
    assert aurc(result.confidence, wrong, rule='trapezoid') == pytest.approx(area, abs=1e-9)
    assert coverage_at_risk(result.confidence, wrong, 0.05, rule='paper') == pytest.approx(cov5, abs=1e-12)
    assert coverage_at_risk(result.confidence, wrong, 0.10, rule='paper') == pytest.approx(cov10, abs=1e-12)
    assert risk_at_coverage(result.confidence, wrong, 0.5) == pytest.approx(risk50, abs=1e-9)
    assert risk_at_coverage(result.confidence, wrong, 0.8) == pytest.approx(risk80, abs=1e-9)


def test_every_gap_gets_a_window_from_the_scores_after_its_stage(stages):
    labels = np.zeros(N, dtype=int)
    three = windows_of([*stages, stages[0]], labels, 'coverage=0.7', half_width=0.15, fit_on='all')
    two = windows_of(stages, labels, 'coverage=0.7', half_width=0.15, fit_on='all')
    assert three.windows[:1] == two.windows
    ensemble = replay(stages, WindowPolicy([(None, None)]), N)
    low, high = three.windows[1]
    assert ((ensemble.confidence >= low) & (ensemble.confidence <= high)).mean() == pytest.approx(0.3, abs=1e-3)


def test_windows_on_reached_units_against_a_plain_loop(stages):
    labels = np.zeros(N, dtype=int)
    three = [*stages, stages[0]]
    half_width = 0.15
    fitted = windows_of(three, labels, 'coverage=0.7', half_width=half_width)
    after = [replay(three[: k + 1], WindowPolicy([(None, None)] * k), N).confidence for k in range(2)]
    low, high = fitted.windows[0]
    assert (low, high) == windows_of(stages, labels, 'coverage=0.7', half_width=half_width, fit_on='all').windows[0]
    goes = (after[0] >= low) & (after[0] <= high)
    # The decision is about everybody: who left keeps the score it left with.
    population = np.where(goes, after[1], after[0])
    tau = np.sort(population)[::-1][int(0.7 * N) - 1]
    assert fitted.tau[1] == tau
    reached = np.sort(after[1][goes])
    q = np.searchsorted(reached, tau, 'right') / len(reached)
    ends = np.quantile(reached, [max(q - 0.15, 0), min(q + 0.15, 1)])
    assert fitted.windows[1] == pytest.approx(tuple(ends), abs=2e-3)
    inside = goes & (after[1] >= fitted.windows[1][0]) & (after[1] <= fitted.windows[1][1])
    assert inside.sum() / goes.sum() == pytest.approx(min(q + 0.15, 1) - max(q - 0.15, 0), abs=0.01)
    finished = replay(three, WindowPolicy(fitted.windows), N)
    assert finished.reached(3) == [1.0, goes.mean(), inside.mean()]


def test_windows_can_be_fitted_on_some_units(stages):
    labels = np.zeros(N, dtype=int)
    some = np.arange(0, N, 3)
    part = [CachedStage(stage.values[some], is_logits=False, macs=stage.macs) for stage in stages]
    assert windows_of(stages, labels, 'risk=0.2', units=some) == windows_of(part, labels[some], 'risk=0.2')


def test_what_cannot_be_fitted_is_named(stages):
    labels = np.zeros(N, dtype=int)
    constant = CachedStage(torch.full((N, CLASSES), 0.1), is_logits=False)
    silent = CachedStage(torch.full((N, CLASSES), float('nan')), is_logits=False)
    with pytest.raises(ValueError, match='scores after stage 0 are all 0.1, so no bound can tell'):
        windows_of([constant, stages[0]], labels, 'coverage=0.5')
    with pytest.raises(ValueError, match='no unit has a finite score after stage 0'):
        windows_of([silent, stages[0]], labels, 'coverage=0.5')
    with pytest.raises(ValueError, match='no calibration unit reaches gap 1.*half_width than 0.0'):
        windows_of([stages[0], stages[1], stages[0], stages[1]], labels[:20], 'coverage=0.5', half_width=0.0)
    with pytest.raises(ValueError, match="fit_on must be one of .'reached', 'all'., got 'some'"):
        windows_of(stages, labels, 'coverage=0.5', fit_on='some')


def test_replay_in_chunks_is_one_replay(stages, monkeypatch):
    whole = replay(stages, WindowPolicy([(0.3, 0.7)]), N)
    monkeypatch.setattr('mmcascade.calibration.replay.replay._CHUNK', 77)
    pieces = replay(stages, WindowPolicy([(0.3, 0.7)]), N)
    for name in ('confidence', 'label', 'exit_stage', 'macs'):
        np.testing.assert_array_equal(getattr(whole, name), getattr(pieces, name))
    assert whole.reached(2) == [1.0, (whole.exit_stage == 1).mean()]
