# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""From stored scores to a calibration, and what it is worth on units it has not seen."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mmcascade.calibration.fit.certificates.certificate import certify, safest_start
from mmcascade.calibration.fit.certificates.held_out import hold_out_at_random
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.fit.result.summary import sentences, summary_lines
from mmcascade.calibration.fit.scores.temperatures import fit_temperature, try_temperature
from mmcascade.calibration.fit.thresholds.bounds import accept_threshold
from mmcascade.calibration.fit.thresholds.operating_point import operating_point, place_tau
from mmcascade.calibration.replay.replay import replay
from mmcascade.routing import CachedStage, WindowPolicy
from tests.support.stored.calibrating import fit_store, maps_of
from tests.test_calibration.synthetic import identity, members, store_of

SCALES = (1.0, 3.0)


def draw(n, seed):
    return members(n, seed, scales=SCALES)


@pytest.fixture(scope='module')
def calibration_set(tmp_path_factory):
    labels, stages = draw(2000, 0)
    return store_of(tmp_path_factory.mktemp('store'), labels, stages), labels, stages


def deployed(calibration: Calibration, labels, stages):
    """The finished cascade on other units, and its risk at the accept threshold."""
    stages = [replace(stage, temperature=t) for stage, t in zip(stages, calibration.temperatures, strict=True)]
    result = replay(stages, calibration.policy(), len(labels), maps=calibration.maps)
    return result, operating_point(result.confidence, result.label != labels, calibration.accept)


@pytest.mark.parametrize(
    'options',
    [dict(), dict(maps='isotonic'), dict(temperatures='fit'), dict(maps='isotonic', temperatures='fit', fit_on='all')],
)
def test_the_deployed_risk_is_within_sampling_error_of_its_target(calibration_set, options):
    store, _, _ = calibration_set
    calibration = fit_store(store, identity(2), 'risk=0.1', **options)
    labels, stages = draw(20_000, 1)
    result, point = deployed(calibration, labels, stages)
    accepted = calibration.measured['coverage'] * store.units
    error = math.sqrt(0.1 * 0.9 / accepted + 0.1 * 0.9 / (point.coverage * len(labels)))
    assert abs(point.risk - 0.1) < 3.5 * error
    assert calibration.measured['risk'] <= 0.1
    assert result.reached(2)[1] == pytest.approx(0.2, abs=0.03)
    assert result.macs.mean() == pytest.approx(1 + 4 * result.reached(2)[1])


def test_scores_are_judged_after_temperatures_and_maps(calibration_set):
    store, labels, stages = calibration_set
    calibration = fit_store(store, identity(2), 'coverage=0.7', maps='isotonic', temperatures='fit')
    fresh = draw(2000, 0)[1]
    assert calibration.temperatures == [fit_temperature(stage, labels) for stage in fresh]
    assert calibration.temperatures[1] > 2 * calibration.temperatures[0]
    fresh = [replace(stage, temperature=t) for stage, t in zip(fresh, calibration.temperatures, strict=True)]
    policy = WindowPolicy(calibration.windows)
    assert calibration.maps == maps_of(fresh, labels, policy)
    judged = replay(fresh, policy, 2000, maps=calibration.maps)
    tau = place_tau(judged.confidence, judged.label != labels, 'coverage=0.7')
    assert calibration.accept == accept_threshold(judged.confidence, tau) < tau
    assert calibration.measured['coverage'] == (judged.confidence >= calibration.accept).mean()


def test_the_certified_part_is_seen_by_nothing_else(calibration_set, tmp_path):
    store, labels, _ = calibration_set
    options = dict(maps='isotonic', temperatures='fit')
    calibration = fit_store(store, identity(2), 'risk=0.15', certify=0.1, certify_share=0.4, seed=3, **options)
    fit_on, held = hold_out_at_random(len(labels), 0.4, seed=3)
    # What was fitted is what a store of the other units alone would give.
    stages = draw(2000, 0)[1]
    rest = [type(stage)(stage.values[fit_on], macs=stage.macs) for stage in stages]
    alone = fit_store(store_of(tmp_path, labels[fit_on], rest), identity(2), 'risk=0.15', **options)
    assert calibration.temperatures == pytest.approx(alone.temperatures)
    assert (calibration.windows, calibration.tau, calibration.maps) == (alone.windows, alone.tau, alone.maps)
    stages = [replace(stage, temperature=t) for stage, t in zip(stages, calibration.temperatures, strict=True)]
    seen, judged = (replay(stages, calibration.policy(), units, maps=calibration.maps) for units in (fit_on, held))
    wrong = judged.label != labels[held]
    start = safest_start(seen.confidence, seen.label != labels[fit_on], 0.15)
    assert calibration.guarantee.start == start
    assert calibration.accept == certify(judged.confidence, wrong, 0.15, 0.1, start) == calibration.guarantee.threshold
    assert calibration.guarantee.units == len(held) == 800
    assert calibration.measured['risk'] == wrong[judged.confidence >= calibration.accept].mean() < 0.15
    assert 'certified: the risk on unseen units' in summary_lines(calibration)[-1]
    first, reached, *_, last = sentences(calibration)
    assert first == 'Calibrated for risk=0.15.' and reached.startswith('On ') and last.startswith('Certified: the risk')
    assert sentences(replace(calibration, measured={})) == []


def test_infeasible_guarantees_accept_nothing_and_say_what_is_feasible(calibration_set):
    store, _, _ = calibration_set
    calibration = fit_store(store, identity(2), 'deferred=0.3', accept='risk=0.001', certify=0.01)
    assert calibration.accept is None is calibration.guarantee.threshold
    line = summary_lines(calibration)[-1]
    assert line.startswith('infeasible: on 1400 held-out units no threshold certifies')
    assert line.endswith('%, which can be promised on other images only')
    lowest = calibration.guarantee.lowest_risk
    assert f'{100 * lowest:.4g} %' in summary_lines(calibration)[-1]
    again = fit_store(store, identity(2), 'deferred=0.3', accept=f'risk={lowest}', certify=0.01)
    assert again.guarantee.bound <= lowest


def test_the_promise_of_the_whole_path_holds(tmp_path):
    """Calibrate many times, on few units each, and measure the true risk on very many."""
    test_labels, test_stages = members(30_000, 999)
    pool_labels, pool = members(60_000, 5)
    rng = np.random.default_rng(0)
    delta, runs, broken, certified = 0.25, 60, 0, 0
    for run in range(runs):
        units = rng.choice(len(pool_labels), 500, replace=False)
        stages = [type(stage)(stage.values[units], macs=stage.macs) for stage in pool]
        store = store_of(tmp_path / str(run), pool_labels[units], stages)
        calibration = fit_store(store, identity(2), 'risk=0.15', maps='isotonic', certify=delta, seed=run)
        if calibration.accept is not None:
            certified += 1
            broken += deployed(calibration, test_labels, test_stages)[1].risk > 0.15
    assert certified > runs / 2
    assert broken <= runs * delta + 3 * math.sqrt(runs * delta * (1 - delta))


def test_temperatures_are_fitted_where_that_is_worth_more_than_its_noise(calibration_set):
    store, labels, stages = calibration_set
    calibration = fit_store(store, identity(2), 'risk=0.15')
    trials = [try_temperature(stage, labels) for stage in stages]
    assert calibration.trials == trials
    assert calibration.temperatures == [trial.temperature for trial in trials]
    first, second = summary_lines(calibration)[1:3]
    assert first.startswith(f'temperature of m0: {trials[0].temperature:.4g}')
    assert second.startswith(f'temperature of m1: {trials[1].fitted:.4g}, which gains +')
    assert Calibration.load(calibration.to_json()) == calibration
    for asked, trials in (('none', [1, 1]), ('fit', [fit_temperature(stage, labels) for stage in stages])):
        made = fit_store(store, identity(2), 'risk=0.15', temperatures=asked)
        assert made.temperatures == trials and made.trials is None and 'trials' not in made.to_json()


def test_held_out_units_try_no_temperature(calibration_set):
    store, labels, stages = calibration_set
    calibration = fit_store(store, identity(2), 'risk=0.15', certify=0.1)
    fit_on = hold_out_at_random(len(labels), 0.7)[0]
    assert calibration.trials == [try_temperature(stage, labels, fit_on) for stage in stages]


def test_targets_of_routing_set_an_accept_threshold_only_when_asked(calibration_set):
    store, labels, stages = calibration_set
    calibration = fit_store(store, identity(2), 'macs=2')
    assert calibration.measured['macs'] <= 2
    assert 'risk' not in calibration.measured
    assert (calibration.accept, calibration.accept_target, calibration.tau) == (None, None, [])
    both = fit_store(store, identity(2), 'macs=2', accept='risk=0.2')
    assert both.windows == calibration.windows
    assert both.measured['risk'] <= 0.2
    assert both.accept_target == 'risk=0.2'
    more = fit_store(store, identity(2), f'accuracy={both.measured["accuracy"]}')
    assert more.measured['macs'] <= both.measured['macs']


def test_summaries_are_plain_words(calibration_set):
    store, _, _ = calibration_set
    lines = summary_lines(fit_store(store, identity(2), 'risk=0.1', maps='isotonic', temperatures='fit'))
    assert lines[0].startswith('gap 0: 0.') and lines[0].endswith(' goes on')
    assert lines[1].startswith('temperatures: ')
    assert lines[2].startswith('accept at mapped confidence >= 0.') and lines[2].endswith('for risk=0.1')
    assert lines[3].startswith('on 2000 calibration units: accuracy ')
    assert lines[4].startswith('accepted ') and ' % of them' in lines[4] and 'are wrong' in lines[4]
    assert summary_lines(fit_store(store, identity(2), 'deferred=0'))[0] == 'gap 0: closed, nobody goes on'
    assert summary_lines(fit_store(store, identity(2), 'deferred=1'))[0] == 'gap 0: everybody goes on'
    assert summary_lines(fit_store(store, identity(2), 'deferred=0.1'))[0].startswith('gap 0: confidence <= 0.')


@pytest.mark.parametrize(
    'request_, message',
    [
        (dict(target='risk=0.1', accept='coverage=0.8'), 'these are one decision; give it once'),
        (dict(target='macs=3', accept='accuracy=0.8'), 'placed for risk=, coverage= or tpr='),
        (dict(target='coverage=0.8', certify=0.1), 'only a risk .* can be certified, .* to reach coverage=0.8'),
        (dict(target='macs=3', certify=0.1), 'only a risk'),
        (dict(target='risk=0', certify=0.1), 'only a risk strictly between'),
        (dict(target='risk=0.1', certify=10), 'strictly between 0 and 1, got 10'),
        (dict(target='risk=0.1', certify=0.1, adapt=200), 'certify, or let the window follow'),
        (dict(target='macs=3', adjust_on='test_dataloader'), 'only a window around a decision'),
        (dict(target='risk=0.1', adapt=200.5), 'memory is a number of scores, at least 100, got 200.5'),
        (dict(target='macs=3', max_cells=2.5), 'max_cells is a number of cells of an image, at least 1, got 2.5'),
        (dict(target='risk=0.1', maps='platt'), "maps must be one of .*, got 'platt'"),
        (dict(target='risk=0.1', temperatures='yes'), "temperatures must be one of .*, got 'yes'"),
    ],
)
def test_contradictions_are_named(request_, message):
    with pytest.raises(ValueError, match=message):
        CalibrationRequest(**request_)


def test_the_same_decision_may_be_said_twice():
    assert CalibrationRequest('risk=0.10', 'risk=0.1').given == ['accept']
    assert CalibrationRequest('accuracy=0.9', 'risk=0.1', certify=0.1).given == ['accept', 'certify']


def test_too_few_units_for_a_guarantee(tmp_path):
    labels, stages = draw(140, 0)
    store = store_of(tmp_path, labels, stages)
    with pytest.raises(ValueError, match='at least 100 calibration units of its own, and a share of 0.7 of 140 is 98'):
        fit_store(store, identity(2), 'risk=0.2', certify=0.1)


def test_what_units_out_of_distribution_count_for(tmp_path):
    labels, stages = draw(900, 0)
    marked = np.where(np.arange(900) % 3, labels, -1)
    known = marked >= 0
    mixed = store_of(tmp_path / 'mixed', marked, stages)
    alone = store_of(
        tmp_path / 'alone', labels[known], [CachedStage(stage.values[known], macs=stage.macs) for stage in stages]
    )

    def both(target, **options):
        return fit_store(mixed, identity(2), target, **options), fit_store(alone, identity(2), target, **options)

    for target in ('deferred=0.3', 'macs=2', 'accuracy=0.7'):
        with_ood, without = both(target, temperatures='fit')
        assert (with_ood.windows, with_ood.temperatures) == (without.windows, without.temperatures)
    with_ood, without = both('tpr=0.8')
    assert with_ood.tau == without.tau
    risk = fit_store(mixed, identity(2), 'risk=0.4', temperatures='none')
    result = replay(draw(900, 0)[1], risk.policy(), 900)
    accepted = result.confidence >= risk.accept
    assert (result.label != marked)[accepted].mean() == risk.measured['risk'] <= 0.4, 'accepting one is an error'
    assert risk.measured['accuracy'] == (result.label == marked)[known].mean()
    with pytest.raises(ValueError, match='no calibration unit has a label'):
        fit_store(store_of(tmp_path / 'nothing', np.full(900, -1), stages), identity(2), 'risk=0.2')


def test_a_stage_that_never_ran(tmp_path):
    labels, stages = draw(200, 0)
    silent = CachedStage(torch.full((200, 4), math.nan), macs=1.0)
    with pytest.raises(ValueError, match='stage 1 gave no finite output on any calibration unit'):
        fit_store(store_of(tmp_path, labels, [stages[0], silent]), identity(2), 'risk=0.2')


@pytest.mark.parametrize('target', ['risk=0.2', 'macs=1', 'accuracy=0.1', 'deferred=0.5'])
def test_a_single_stage_needs_no_windows(tmp_path, target):
    labels, stages = draw(500, 0)
    calibration = fit_store(store_of(tmp_path, labels, stages[:1]), identity(1), target, maps='isotonic')
    assert (calibration.windows, calibration.tau, len(calibration.maps)) == ([], [], 1)
    with pytest.raises(ValueError, match='there must be one'):
        replace(calibration, adapt=100).policy()


def test_infeasible_targets_say_what_is_feasible(tmp_path):
    wrong_when_sure = CachedStage(torch.tensor([[3.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 1.0, 0, 0]]), macs=1.0)
    store = store_of(tmp_path, np.ones(3, dtype=int), [wrong_when_sure] * 2)
    with pytest.raises(ValueError, match='risk=0.2 cannot be reached: the lowest risk at any threshold is 0.3333'):
        fit_store(store, identity(2), 'risk=0.2')
    with pytest.raises(ValueError, match='accuracy=0.9 cannot be .* between 0.6667 and 0.6667 .* between 1 and 2'):
        fit_store(store, identity(2), 'accuracy=0.9')
