# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Exit and accept shares of a test beside those of a calibration."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.stats import betabinom

from mmcascade.evaluation.metrics.cascade_cost import CascadeCost
from mmcascade.evaluation.metrics.selective_risk import SelectiveRisk
from mmcascade.runtime import DriftMonitor, Expected


@pytest.fixture
def file(tmp_path):
    path = tmp_path / 'c.json'
    path.write_text(json.dumps({'measured': {'units': 2000, 'reached': [1.0, 0.2, 0.05], 'coverage': 0.8}}))
    return str(path)


def samples(exits, accepted=None):
    accepted = [True] * len(exits) if accepted is None else accepted
    return [
        dict(
            macs=1e9,
            exit_stage=int(exit_stage),
            num_stages=3,
            confidence=0.5 + 0.001 * k,
            accepted=bool(yes),
            gt_label=np.array([0]),
            pred_label=np.array([k % 2]),
        )
        for k, (exit_stage, yes) in enumerate(zip(exits, accepted, strict=True))
    ]


def values(metric, given):
    metric.process(None, given)
    return metric.compute_metrics(metric.results)


def test_exits_beside_the_calibrations(file):
    exits = [0] * 160 + [1] * 30 + [2] * 10
    found = values(CascadeCost(calibration=file, drift_level=0.95), samples(exits))
    assert found['reached@stage1'] == 20 and found['expected@stage1'] == 20 and found['expected@stage2'] == 5
    for stage, hits in ((1, 400), (2, 100)):
        spread = betabinom(200, hits + 0.5, 2000 - hits + 0.5)
        low, high = (round(found[f'expected@stage{stage}/{end}'] / 100 * 200) for end in ('low', 'high'))
        assert spread.cdf(low - 1) <= 0.025 < spread.cdf(low) + 1e-9
        assert spread.sf(high) <= 0.025 + 1e-9
        assert low / 200 <= found[f'reached@stage{stage}'] / 100 <= high / 200
    assert found['drifted'] == 0


def test_a_shift_is_told_as_the_monitor_tells_it(file):
    exits, accepted = [0] * 100 + [1] * 90 + [2] * 10, [False] * 100 + [True] * 100
    monitor = DriftMonitor(Expected(2000, (0.2, 0.05), 0.8), window=200)
    monitor.update(exits, accepted)
    first, second, taken = monitor.report()
    found = values(CascadeCost(calibration=file), samples(exits, accepted))
    assert [first.drifted, second.drifted] == [True, False] and found['drifted'] == 1
    assert (found['expected@stage1/low'], found['expected@stage1/high']) == (100 * first.low, 100 * first.high)
    found = values(SelectiveRisk(calibration=file), samples(exits, accepted))
    assert found['deployed_coverage'] == 50 and found['expected_coverage'] == 80 and found['drifted'] == 1
    assert (found['expected_coverage/low'], found['expected_coverage/high']) == (100 * taken.low, 100 * taken.high)


def test_by_chance_it_seldom_says_so(file):
    """Images like those of the calibration leave the interval as seldom as its level says."""
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(300):
        share = rng.beta(400.5, 1600.5)
        exits = (rng.random(100) < share).astype(int)
        found = values(CascadeCost(calibration=file, drift_level=0.9), samples(exits))
        outside = not found['expected@stage1/low'] <= found['reached@stage1'] <= found['expected@stage1/high']
        alarms += outside
    assert alarms / 300 <= 0.1 + 3 * math.sqrt(0.09 / 300)


def test_without_a_calibration_nothing_is_printed():
    assert not any('expected' in key or key == 'drifted' for key in values(CascadeCost(), samples([0, 1])))


@pytest.mark.parametrize('measured', [None, {}, {'images': 5, 'cells': 20, 'reached': [1.0, 0.2]}])
def test_files_of_something_else_are_refused(tmp_path, measured):
    path = tmp_path / 'c.json'
    path.write_text(json.dumps({'measured': measured}))
    with pytest.raises(ValueError, match='does not say what its calibration images did'):
        CascadeCost(calibration=str(path))


def test_what_cannot_be_compared(file, tmp_path):
    with pytest.raises(ValueError, match='drift_level is a probability'):
        CascadeCost(calibration=file, drift_level=1.5)
    given = samples([0, 1])
    for sample in given:
        del sample['accepted']
    with pytest.raises(ValueError, match='only where both have a threshold'):
        values(SelectiveRisk(calibration=file), given)
    cells = [dict(macs=1e9, reached=[1.0, 0.3], cells=dict(exit_stages=[0, 1]))]
    with pytest.raises(ValueError, match='leave calibration= out of CascadeCost'):
        values(CascadeCost(calibration=file), cells)
    with pytest.raises(OSError):
        CascadeCost(calibration=str(tmp_path / 'gone.json'))
