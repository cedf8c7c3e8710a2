# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from mmcascade.calibration.fit.scores.temperatures import RANGE, fit_temperature, try_temperature
from mmcascade.routing import CachedStage


def calibrated(n, seed, scale=1.0):
    """Logits that are scale times those from which the labels were drawn, so the best temperature is the scale."""
    rng = np.random.default_rng(seed)
    z = 2 * rng.normal(size=(n, 5))
    labels = (z + rng.gumbel(size=z.shape)).argmax(1)
    return labels, np.float32(scale * z)


@pytest.mark.parametrize('scale', [0.3, 1.0, 4.0])
def test_it_finds_the_scale(scale):
    labels, z = calibrated(20_000, 0, scale)
    assert fit_temperature(CachedStage(torch.from_numpy(z)), labels) == pytest.approx(scale, rel=0.04)


def test_no_temperature_of_a_fine_grid_is_better(monkeypatch):
    monkeypatch.setattr('mmcascade.calibration.fit.scores.temperatures._CHUNK', 77)
    labels, z = calibrated(500, 1, 2.0)
    z[3] = np.nan  # left out
    some = np.arange(0, 500, 3)

    def loss(temperature):
        used = some[some != 3]
        return -log_softmax(z[used].astype(float) / temperature, 1)[np.arange(len(used)), labels[used]].mean()

    for stage in (CachedStage(torch.from_numpy(z)), CachedStage(torch.from_numpy(z).softmax(1), is_logits=False)):
        found = fit_temperature(stage, labels, some)
        assert loss(found) <= min(map(loss, np.geomspace(*RANGE, 2000))) + 1e-6


def test_a_member_that_says_nothing_keeps_1():
    assert fit_temperature(CachedStage(torch.zeros(50, 5)), np.zeros(50, dtype=int)) == 1
    with pytest.raises(ValueError, match='no finite output on any calibration unit'):
        fit_temperature(CachedStage(torch.full((50, 5), torch.nan)), np.zeros(50, dtype=int))


@pytest.mark.parametrize('margin', [0.5, 10.0, 1000.0])
def test_one_that_is_always_right_keeps_1(margin):
    labels = np.arange(50) % 5
    with pytest.warns(UserWarning, match='right on every calibration unit.* It keeps T = 1'):
        assert fit_temperature(CachedStage(margin * torch.eye(5)[labels], source='small'), labels) == 1


def test_one_that_is_always_wrong_keeps_1():
    labels = np.arange(50) % 5
    with pytest.warns(UserWarning, match='stage small: its scores speak against the labels'):
        assert fit_temperature(CachedStage(10 * torch.eye(5)[(labels + 1) % 5], source='small'), labels) == 1


def test_an_optimum_beyond_the_range_keeps_1():
    """One tiny error among many sure units: the best temperature is far below the range."""
    labels, z = np.zeros(400, int), torch.zeros(400, 2)
    z[:, 0] = 0.1
    z[0, 0] = -1e-3
    with pytest.warns(UserWarning, match='beyond the temperatures 0.05 to 20'):
        assert fit_temperature(CachedStage(z), labels) == 1


def test_one_error_is_enough_for_an_optimum():
    labels, z = np.zeros(400, int), torch.zeros(400, 2)
    z[:, 0] = 1.0
    z[:40, 0] = -1.0
    # 360 right and 40 wrong, all by the same margin: sigmoid(1 / T) = 0.9.
    assert fit_temperature(CachedStage(z), labels) == pytest.approx(1 / np.log(9), rel=1e-3)


@pytest.mark.parametrize('scale', [0.5, 2.0])
def test_a_badly_scaled_member_is_given_a_temperature(scale):
    labels, z = calibrated(2000, 0, scale)
    stage = CachedStage(torch.from_numpy(z))
    trial = try_temperature(stage, labels)
    assert trial.temperature == trial.fitted == fit_temperature(stage, labels)
    assert trial.gain > 2 * trial.error > 0 and trial.reason is None


def test_the_gain_is_that_of_units_that_were_not_fitted_on():
    labels, z = calibrated(301, 3, 1.5)
    z[5] = np.nan
    stage, some = CachedStage(torch.from_numpy(z)), np.arange(300)
    units = some[some != 5]
    order = np.random.RandomState(0).permutation(len(units))
    halves = [units[order[k::2]] for k in (0, 1)]
    gains = []
    for here, there in (halves, halves[::-1]):
        temperature = fit_temperature(stage, labels, np.sort(here))
        for unit in there:
            scores = z[unit].astype(float)
            gains.append(log_softmax(scores / temperature)[labels[unit]] - log_softmax(scores)[labels[unit]])
    trial = try_temperature(stage, labels, some)
    assert trial.gain == pytest.approx(np.mean(gains), rel=1e-4)
    assert trial.error == pytest.approx(np.std(gains, ddof=1) / np.sqrt(len(gains)), rel=1e-4)
    assert trial.fitted == fit_temperature(stage, labels, some)
    assert trial.temperature == (trial.fitted if trial.gain > 2 * trial.error else 1)


def test_a_member_that_is_scaled_well_keeps_1():
    kept = [
        try_temperature(CachedStage(torch.from_numpy(z)), labels)
        for labels, z in (calibrated(400, k) for k in range(40))
    ]
    assert all(trial.temperature == 1 and trial.reason is None for trial in kept)
    assert {trial.fitted == 1 for trial in kept} == {False}


def test_nothing_to_fit_is_said_without_a_warning(recwarn):
    labels = np.arange(50) % 5
    right = try_temperature(CachedStage(10 * torch.eye(5)[labels]), labels)
    assert (right.temperature, right.gain) == (1, None) and 'right on every calibration unit' in right.reason
    silent = try_temperature(CachedStage(torch.zeros(50, 5)), labels)
    assert silent == type(silent)(1.0, 1.0)
    one = try_temperature(CachedStage(torch.from_numpy(calibrated(60, 1)[1])), calibrated(60, 1)[0], np.arange(1))
    assert one.temperature == 1
    assert not len(recwarn)
    with pytest.raises(ValueError, match='no finite output on any calibration unit'):
        try_temperature(CachedStage(torch.full((50, 5), torch.nan)), labels)
