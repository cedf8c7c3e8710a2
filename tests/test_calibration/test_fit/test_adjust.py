# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mmcascade.calibration.fit.calibrate import calibrate
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.thresholds.operating_point import quantile_window
from mmcascade.calibration.fit.two_sided.adjust import adjust
from mmcascade.calibration.replay.replay import replay
from mmcascade.routing import CachedStage, WindowPolicy
from tests.support.stored.calibrating import fit_store
from tests.test_calibration.synthetic import identity, members, store_of


@pytest.fixture(scope='module')
def calibration(tmp_path_factory):
    return fit_store(
        store_of(tmp_path_factory.mktemp('store'), *members(2000, 0)), identity(2), 'risk=0.1', temperatures='fit'
    )


def test_the_window_moves_and_tau_stays(calibration):
    _, (known, _) = members(3000, 1)
    noise = torch.randn(3000, 4, generator=torch.Generator().manual_seed(0))
    mixture = CachedStage(torch.cat([known.values, noise]))
    adjusted = adjust(calibration, mixture, 6000)
    scores = replay(
        [CachedStage(mixture.values, temperature=calibration.temperatures[0])], WindowPolicy([]), 6000
    ).confidence
    assert adjusted.windows[0] == pytest.approx(quantile_window(scores, calibration.tau[0], calibration.half_width))
    assert adjusted == replace(calibration, windows=adjusted.windows)

    def share(windows):
        low, high = windows[0]
        return np.mean((scores >= low) & (scores <= high))

    assert share(adjusted.windows) == pytest.approx(0.2, abs=1e-3)
    assert abs(share(calibration.windows) - 0.2) > 0.02


def test_what_cannot_be_adjusted_is_named(calibration, tmp_path):
    labels, stages = members(400, 0)
    store = store_of(tmp_path, labels, stages)
    with pytest.raises(ValueError, match='deferred=0.2 gives no window around a score'):
        adjust(fit_store(store, identity(2), 'deferred=0.2'), stages[0], 400)
    with pytest.raises(ValueError, match='certify, or adjust the window, not both'):
        adjust(fit_store(store, identity(2), 'risk=0.3', certify=0.2), stages[0], 400)
    with pytest.raises(ValueError, match='scores after stage 0 are all 0.25'):
        adjust(calibration, CachedStage(torch.zeros(9, 4)), 9)


@pytest.mark.parametrize('options', [{}, {'maps': 'isotonic'}])
def test_threshold_and_figures_are_those_of_the_adjusted_cascade(tmp_path, options):
    labels, stages = members(2000, 0)
    store = store_of(tmp_path, labels, stages)
    plain = fit_store(store, identity(2), 'risk=0.1', temperatures='fit', **options)
    unknown, harder = members(1000, 1, skills=(0.5, 3.0))
    stream = store_of(tmp_path / 'stream', np.full_like(unknown, -1), harder[:1])
    moved = adjust(plain, harder[0], 1000)
    request = CalibrationRequest('risk=0.1', temperatures='fit', adjust_on='elsewhere', **options)
    adjusted = calibrate(store, identity(2), request, stream)
    stages = [replace(stage, temperature=t) for stage, t in zip(stages, plain.temperatures, strict=True)]
    result = replay(stages, adjusted.policy(), 2000, maps=adjusted.maps)
    wrong, accepted = result.label != labels, result.confidence >= adjusted.accept
    assert adjusted.windows == moved.windows != plain.windows
    assert adjusted.measured['reached'] == result.reached(2) != plain.measured['reached']
    assert adjusted.measured['macs'] == pytest.approx(result.macs.mean())
    assert adjusted.measured['coverage'] == pytest.approx(accepted.mean())
    assert adjusted.measured['risk'] == pytest.approx(wrong[accepted].mean())
    assert wrong[accepted].mean() <= 0.1
