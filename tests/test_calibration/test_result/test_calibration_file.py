# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mmcascade.calibration.fit.certificates.certificate import risk_upper_bound
from mmcascade.calibration.fit.result.calibration_file import Calibration, CalibrationError
from mmcascade.calibration.fit.result.guarantee import Guarantee
from mmcascade.calibration.stores.identity import CascadeIdentity, StageIdentity
from mmcascade.routing import AdjustedWindowPolicy, ScoreMap, WindowPolicy

IDENTITY = CascadeIdentity((StageIdentity('a', 0, '11'), StageIdentity('b', 1, '22')), 'max_prob', 'prob')
CALIBRATION = Calibration(
    cascade=IDENTITY,
    windows=[(0.25, None)],
    accept=0.5,
    temperatures=[1.0, 2.0],
    target='risk=0.05',
    rule='safe',
    half_width=0.1,
    tau=[0.4],
    data={'units': 10, 'fingerprint': 'ff'},
    measured={'risk': 0.04},
)
FULL = replace(
    CALIBRATION,
    fit_on='all',
    accept_target='risk=0.05',
    maps=[ScoreMap([0.1, 0.9], [0.2, 0.8]), ScoreMap([1], [0.5])],
    guarantee=Guarantee(0.05, 0.1, 500, 0.5, 0, 0.5, 300, 4, float(risk_upper_bound(4, 300, 0.1 / 9)), 0.03),
    adapt=500,
)


@pytest.mark.parametrize('calibration', [CALIBRATION, FULL])
def test_goes_round_and_stays_readable(tmp_path, calibration):
    path = tmp_path / 'new' / 'c.json'
    calibration.save(path)
    assert Calibration.load(path) == calibration
    assert Calibration.load(json.loads(path.read_text())) == calibration
    assert json.loads(path.read_text()) == json.loads(json.dumps(calibration.to_json()))
    assert '"temperatures": [1.0, 2.0]' in path.read_text()
    data = json.loads(path.read_text())
    assert data['schema'] == 1
    assert data['windows'] == [[0.25, None]]
    assert [p.name for p in path.parent.iterdir()] == ['c.json']


@pytest.mark.parametrize(
    'text, message',
    [
        ('{"schema": 2}', 'schema 2, and this version of mmcascade reads up to 1'),
        ('{"schema": ', 'is no JSON'),
        ('[]', 'holds a list'),
        ('{}', 'is no calibration file'),
        (json.dumps(CALIBRATION.to_json() | {'windows': [[0.5, 0.1]]}), 'low > high'),
        (json.dumps({k: v for k, v in CALIBRATION.to_json().items() if k != 'tau'}), 'tau'),
        (json.dumps(CALIBRATION.to_json() | {'extra': 1}), 'extra'),
        (json.dumps(CALIBRATION.to_json() | {'temperatures': [1.0]}), '2 stages need 2 temperatures, got 1'),
        (json.dumps(CALIBRATION.to_json() | {'windows': []}), '2 stages need 1 windows, got 0'),
        (
            json.dumps(CALIBRATION.to_json() | {'maps': [{'scores': [1.0], 'values': [0.5]}]}),
            '2 stages need 2 maps, got 1',
        ),
        (json.dumps(CALIBRATION.to_json() | {'maps': [{'scores': [1.0]}]}), 'values'),
        (json.dumps(CALIBRATION.to_json() | {'guarantee': {'risk': 0.1}}), 'delta'),
        (
            json.dumps(CALIBRATION.to_json() | {'max_cells': 2, 'adapt': 500}),
            'max_cells=2 belongs to cells and adapt=500',
        ),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, text, message):
    path = tmp_path / 'c.json'
    path.write_text(text)
    with pytest.raises(CalibrationError, match=message):
        Calibration.load(path)


def test_files_without_the_newer_fields_are_read(tmp_path):
    old = {
        key: value
        for key, value in CALIBRATION.to_json().items()
        if key not in ('fit_on', 'accept_target', 'maps', 'guarantee', 'adapt')
    }
    assert Calibration.load(old) == CALIBRATION


def test_it_describes_its_policy():
    assert type(CALIBRATION.policy()) is WindowPolicy
    policy = FULL.policy()
    assert isinstance(policy, AdjustedWindowPolicy)
    assert (policy.rules, policy.tau, policy.share, policy.memory) == ([(0.25, None)], 0.4, 0.2, 500)


def test_missing_file(tmp_path):
    with pytest.raises(CalibrationError, match='does not exist.*mmcascade calibrate'):
        Calibration.load(tmp_path / 'gone.json')


def test_it_belongs_to_one_cascade():
    CALIBRATION.check(IDENTITY)
    other = CascadeIdentity((StageIdentity('a', 0, '12'), StageIdentity('b', 1, '22')), 'energy', 'prob')
    with pytest.raises(CalibrationError, match="confidence was 'max_prob' and is 'energy'; the weights of member 'a'"):
        CALIBRATION.check(other)
