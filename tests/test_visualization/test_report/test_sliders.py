# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What stands at each place of the sliders is what `calibrate` gives, and what the router then does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mmcascade.calibration.fit.calibrate import calibrate
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.replay.replay import replay
from mmcascade.calibration.worth.systems import stage_names
from mmcascade.evaluation.curves import coverage_at_risk
from mmcascade.evaluation.standings.measure import measure_for
from mmcascade.visualization.report.findings.judged import StoredSplit
from mmcascade.visualization.report.findings.places import Dear, places
from mmcascade.visualization.report.findings.settings import request_of, sliders
from mmcascade.visualization.report.runs import calibrated_runs
from tests.support.stored.stored_runs import opened, write_run

REQUESTS = {
    'window': (CalibrationRequest('risk=0.13', half_width=0.07), 2),
    'three stages, temperatures': (CalibrationRequest('risk=0.1', temperatures='fit', fit_on='all'), 3),
    'certified maps': (CalibrationRequest('risk=0.2', certify=0.2, certify_share=0.4, seed=3, maps='isotonic'), 2),
    'one-sided': (CalibrationRequest('deferred=0.25', accept='risk=0.1'), 3),
    'coverage': (CalibrationRequest('coverage=0.8'), 2),
}


@pytest.fixture(scope='module', params=list(REQUESTS))
def case(request, tmp_path_factory):
    asked, members = REQUESTS[request.param]
    folder = write_run(tmp_path_factory.mktemp('run'), asked, members=members, units=400, shown=151)
    calibration, evidence, _, shown = opened(folder)
    return folder, asked, calibration, shown, sliders(evidence, calibration, shown, measure_for('risk', 0.1))


def test_the_file_says_what_was_asked_for(case):
    _, asked, calibration, *_ = case
    assert request_of(calibration) == asked


def test_they_begin_at_the_calibration_itself(case):
    _, asked, calibration, _, found = case
    setting = found.settings[found.start[0]][found.start[1]]
    if asked.target.startswith('coverage'):  # no risk was asked for, so that none need be met exactly
        assert not found.exact
        return
    assert found.exact
    assert setting.calibration.measured == calibration.measured
    assert setting.calibration.windows == calibration.windows and setting.calibration.accept == calibration.accept


def test_every_place_is_a_calibration_and_a_run_of_the_router(case):
    folder, _, calibration, shown, found = case
    (run,) = calibrated_runs(folder)
    rng = np.random.default_rng(0)
    reached = 0
    for _ in range(12):
        row, column = rng.integers(len(found.risks)), rng.integers(len(found.efforts))
        setting = found.settings[row][column]
        try:
            again = calibrate(run.fitted, calibration.cascade, setting.request)
        except ValueError as error:
            assert setting.problem == str(error) and setting.calibration is None
            continue
        reached += 1
        assert again.to_json() == setting.calibration.to_json()
        _check_outcome(setting, again, shown)
    assert reached > 5


def _check_outcome(setting, calibration, shown):
    units = len(shown.labels)
    routed = replay(shown.source.stages, calibration.policy(), units, maps=calibration.maps)
    wrong = routed.label != shown.labels
    taken = [k for k in range(units) if calibration.accept is not None and routed.confidence[k] >= calibration.accept]
    outcome = setting.outcome
    assert outcome.coverage == len(taken) / units
    assert outcome.cost == pytest.approx(routed.macs.mean())
    assert outcome.accuracy == pytest.approx(1 - wrong.mean())
    assert outcome.reached == routed.reached(len(shown.names))
    assert outcome.quality == coverage_at_risk(routed.confidence, wrong, 0.1)
    if taken:
        assert outcome.risk == pytest.approx(sum(wrong[k] for k in taken) / len(taken))
    else:
        assert np.isnan(outcome.risk)
    for stage in range(len(shown.names)):
        here = [k for k in range(units) if routed.exit_stage[k] == stage]
        right = [k for k in here if k in taken and not wrong[k]]
        assert outcome.flow[stage].tolist() == [
            len(right),
            len([k for k in here if k in taken]) - len(right),
            len([k for k in here if k not in taken]),
        ]


def test_targets_out_of_reach_say_so_and_one_risk_is_met_by_all(tmp_path):
    folder = write_run(tmp_path, CalibrationRequest('risk=0.2'), units=200, shown=0)
    calibration, evidence, fitted, shown = opened(folder)
    assert shown is None
    found = sliders(evidence, calibration, fitted, measure_for('risk', 0.2))
    every = [setting for row in found.settings for setting in row]
    shown_places = [place for row in places(found, Dear('m1', 20.0), {}) for place in row]
    for setting, place in zip(every, shown_places, strict=True):
        assert (setting.calibration is None) == bool(setting.problem) == ('problem' in place)
    # The last risk is met by accepting all that the ensemble says.
    # A window around nobody costs stage 0, one around everybody the ensemble.
    cheapest, dearest = found.settings[-1][0].outcome, found.settings[-1][-1].outcome
    assert cheapest.reached[1] < 0.05 and dearest.reached[1] == dearest.coverage == 1


def test_texts_and_widths_are_those_of_the_figures(case):
    *_, found = case
    for row, texts in zip(found.settings, places(found, Dear('m1', 20.0), {}), strict=True):
        for setting, place in zip(row, texts, strict=True):
            if setting.outcome is None:
                continue
            units = setting.outcome.flow.sum()
            assert place['text']['fit-accuracy'] == f'{100 * setting.calibration.measured["accuracy"]:.2f} %'
            assert place['text']['reached1'] == f'{100 * setting.outcome.reached[1]:.2f} %'
            assert place['width']['flow0-on'] == pytest.approx(100 * setting.outcome.reached[1], abs=1e-3)
            assert place['text']['flow0-rejected'] == str(setting.outcome.flow[0][2])
            for stage in range(len(setting.outcome.flow)):
                shares = sum(place['width'][f'flow{stage}-{kind}'] for kind in ('right', 'wrong', 'rejected', 'on'))
                assert shares == pytest.approx(100 * setting.outcome.flow[stage:].sum() / units, abs=0.01)


def test_systems_are_those_of_the_router(case):
    _, _, calibration, shown, _ = case
    systems = {system.name: system for system in shown.systems(calibration)}
    routed = replay(shown.source.stages, calibration.policy(), len(shown.labels), maps=calibration.maps)
    assert systems['cascade'].cost.tolist() == routed.macs.tolist()
    assert systems['cascade'].wrong.tolist() == (routed.label != shown.labels).tolist()
    last = shown.source.stages[-1]
    alone = last.values.double().div(last.temperature).softmax(1)
    np.testing.assert_allclose(systems[shown.names[-1]].confidence, alone.max(1).values, rtol=1e-5)
    labels = shown.labels_after([3, 5], len(shown.names) - 1)
    together = sum(stage.values.double().div(stage.temperature).softmax(1) for stage in shown.source.stages)
    assert labels.tolist() == together.argmax(1)[[3, 5]].tolist()


def test_stages_of_one_member_have_names_of_their_own(tmp_path):
    folder = write_run(tmp_path, CalibrationRequest('risk=0.2'), units=150, shown=0)
    (run,) = calibrated_runs(folder)
    first = run.calibration.cascade.stages[0]
    stages = (first, replace(first, view=1), replace(first, view=1))
    names = stage_names(replace(run.calibration.cascade, stages=stages))
    assert names == ('m0 on view 0', 'm0 on view 1 (stage 1)', 'm0 on view 1 (stage 2)')
    assert isinstance(StoredSplit.of(run.fitted, run.calibration.cascade, [1, 1]).names, tuple)
