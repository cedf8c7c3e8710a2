# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from mmcascade.calibration.fit.temperatures import RANGE, fit_temperature
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
    monkeypatch.setattr('mmcascade.calibration.fit.temperatures._CHUNK', 77)
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
