# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import json

import pytest

from mmcascade.calibration.calibration_file import Calibration, CalibrationError
from mmcascade.calibration.identity import CascadeIdentity, StageIdentity

IDENTITY = CascadeIdentity((StageIdentity('a', 0, '11'), StageIdentity('b', 1, '22')), 'max_prob', 'prob')
CALIBRATION = Calibration(
    cascade=IDENTITY, windows=[(0.25, None)], accept=0.5, temperatures=[1.0, 2.0], target='risk=0.05', rule='safe',
    half_width=0.1, tau=[0.4], data={'units': 10, 'fingerprint': 'ff'}, measured={'risk': 0.04})


def test_goes_round_and_stays_readable(tmp_path):
    path = tmp_path / 'new' / 'c.json'
    CALIBRATION.save(path)
    assert Calibration.load(path) == CALIBRATION
    assert Calibration.load(json.loads(path.read_text())) == CALIBRATION
    data = json.loads(path.read_text())
    assert data['schema'] == 1
    assert data['windows'] == [[0.25, None]]
    assert [p.name for p in path.parent.iterdir()] == ['c.json']


@pytest.mark.parametrize('text, message', [
    ('{"schema": 2}', 'schema 2, and this version of mmcascade reads up to 1'),
    ('{"schema": ', 'cannot be read'),
    ('[]', 'holds a list'),
    ('{}', 'is no calibration file'),
    (json.dumps(CALIBRATION.to_json() | {'windows': [[0.5, 0.1]]}), 'low > high'),
    (json.dumps({k: v for k, v in CALIBRATION.to_json().items() if k != 'tau'}), 'tau'),
    (json.dumps(CALIBRATION.to_json() | {'extra': 1}), 'extra'),
])
def test_what_cannot_be_read_says_why(tmp_path, text, message):
    path = tmp_path / 'c.json'
    path.write_text(text)
    with pytest.raises(CalibrationError, match=message):
        Calibration.load(path)


def test_missing_file(tmp_path):
    with pytest.raises(CalibrationError, match='does not exist.*tools/calibrate.py'):
        Calibration.load(tmp_path / 'gone.json')


def test_it_belongs_to_one_cascade():
    CALIBRATION.check(IDENTITY)
    other = CascadeIdentity((StageIdentity('a', 0, '12'), StageIdentity('b', 1, '22')), 'energy', 'prob')
    with pytest.raises(CalibrationError, match="confidence was 'max_prob' and is 'energy'; the weights of member 'a'"):
        CALIBRATION.check(other)
