# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Mutated calibration files: each is refused in one clear error, or says something that can be true.

``MMCASCADE_FUZZ=1000 pytest tests/fuzz`` tries so many of them instead of a few. Seeds are fixed, so a failure is found
again by its number.
"""

from __future__ import annotations

import copy
import json
import math
import os
import random
from typing import Any

import pytest

from mmcascade.calibration.fit.certificates.certificate import risk_upper_bound
from mmcascade.calibration.fit.result.calibration_file import Calibration, CalibrationError
from mmcascade.calibration.fit.result.guarantee import Guarantee

MUTATIONS = int(os.environ.get('MMCASCADE_FUZZ', '60'))
ODD = [
    None,
    True,
    False,
    '',
    'x',
    '0.5',
    [],
    {},
    [[]],
    {'a': 1},
    -1,
    0,
    1,
    2,
    7,
    0.5,
    1e-300,
    1e300,
    -1e30,
    10**400,
    '[' * 9,
]
TEXTS = ['NaN', 'Infinity', '-Infinity', '1e999', '9' * 400, '[' * 100_000, '{"a":' * 50_000, '"\\ud800"', '']


def original() -> dict[str, Any]:
    """A calibration with everything in it."""
    stages = [{'member': name, 'view': 0, 'weights': f'w{name}'} for name in ('small', 'middle', 'large')]
    bound = float(risk_upper_bound(4, 300, 0.1 / math.ceil(math.log2(400))))
    return {
        'schema': 1,
        'cascade': {'stages': stages, 'confidence': 'max_prob', 'fusion': 'prob', 'precision': 'float32'},
        'windows': [[0.3, 0.6], [None, 0.5]],
        'accept': 0.55,
        'temperatures': [1.0, 1.5, 2.0],
        'target': 'risk=0.05',
        'rule': 'safe',
        'half_width': 0.1,
        'tau': [0.45, 0.4],
        'data': {'units': 800, 'fingerprint': 'f'},
        'measured': {'units': 400, 'accuracy': 0.9, 'macs': 1e8, 'reached': [1.0, 0.3, 0.1]},
        'fit_on': 'reached',
        'accept_target': 'risk=0.05',
        'maps': [{'scores': [0.2, 0.5, 0.9], 'values': [0.1, 0.5, 0.95]}] * 3,
        'guarantee': vars(Guarantee(0.05, 0.1, 400, 0.5, 0, 0.55, 300, 4, bound, 0.03)),
        'adapt': None,
    }


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every entry."""
    keys = list(data) if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else []
    return [found for key in keys for found in [(*path, key), *places(data[key], (*path, key))]]


def mutated(number: int) -> str:
    """The text of a file with one change."""
    chance, data = random.Random(number), copy.deepcopy(original())
    path = chance.choice(places(data))
    inside = data
    for key in path[:-1]:
        inside = inside[key]
    kind, key = chance.randrange(6), path[-1]
    value = inside[key]
    if kind == 0:
        del inside[key]
    elif kind == 1:
        inside[key] = 'MARK'
        return json.dumps(data).replace('"MARK"', chance.choice(TEXTS))
    elif kind == 2 and isinstance(inside, dict):
        inside[f'{key}x'] = inside.pop(key)
    elif kind == 3 and isinstance(value, (int, float)) and not isinstance(value, bool):
        inside[key] = chance.choice([-value, value + 1, value * 1000, value / 1000, value + 1e-9, str(value)])
    elif kind == 4:
        text = json.dumps(data)
        at = chance.randrange(len(text))
        return chance.choice([text[:at], text[:at] + chance.choice('{}[],:"0x') + text[at + 1 :]])
    else:
        inside[key] = chance.choice(ODD)
    return json.dumps(data)


def can_be(calibration: Calibration) -> None:
    """Restates, one by one, what must hold of a calibration that was accepted."""
    stages = len(calibration.cascade.stages)
    assert len(calibration.windows) == stages - 1 and len(calibration.temperatures) == stages
    for window in calibration.windows:
        ends = [end for end in window or () if end is not None]
        assert ends == sorted(ends)
        if calibration.cascade.confidence == 'max_prob':
            assert all(-0.001 <= end <= 1.001 for end in ends)
    assert all(1e-6 <= temperature <= 1e6 for temperature in calibration.temperatures)
    if calibration.accept is not None and (calibration.maps or calibration.cascade.confidence == 'max_prob'):
        assert -0.001 <= calibration.accept <= 1.001
    assert 0 <= calibration.half_width <= 1 and type(calibration.half_width) in (int, float)
    assert calibration.fit_on in ('reached', 'all') and calibration.rule in ('safe', 'paper', 'search')
    if (promise := calibration.guarantee) is not None:
        assert promise.threshold == calibration.accept and 0 < promise.delta < 1 and promise.bound <= promise.risk < 1
        assert 0 <= promise.errors <= promise.accepted <= promise.units
    calibration.policy()


def test_the_file_itself_is_read():
    can_be(Calibration.load(original()))


@pytest.mark.parametrize('part', range(10))
def test_every_mutation_is_refused_or_makes_sense(part, tmp_path):
    file = tmp_path / 'c.json'
    for number in range(part, MUTATIONS, 10):
        file.write_text(mutated(number), errors='surrogatepass')
        try:
            calibration = Calibration.load(file)
        except CalibrationError as error:
            assert len(str(error)) < 3000, number
            continue
        except Exception as error:
            raise AssertionError(f'mutation {number} ends in {type(error).__name__}: {error}') from error
        try:
            can_be(calibration)
        except Exception as error:
            raise AssertionError(f'mutation {number} was accepted') from error


@pytest.mark.parametrize(
    'change, message',
    [
        ({'accept': 7}, 'accept of 7 cannot be'),
        ({'windows': [[5, 7], None]}, 'a window of 5 cannot be'),
        ({'half_width': 2}, 'half_width is a fraction'),
        ({'half_width': False}, 'half_width is a fraction'),
        ({'temperatures': [1, 1e-300, 1]}, 'a temperature lies within'),
        ({'schema': True}, 'schema'),
        ({'accept': 0.5}, 'the guarantee is one for the threshold 0.55, and accept is 0.5'),
        ({'rule': 'best'}, 'rule is one of'),
        ({'tau': [3.0]}, 'tau of 3 cannot be'),
        ({'accept': 10**400}, 'accept is a finite number'),
    ],
)
def test_nonsense_is_named(change, message):
    with pytest.raises(CalibrationError, match=message):
        Calibration.load(original() | change)


@pytest.mark.parametrize('change', [{'delta': 7}, {'bound': 'x'}, {'bound': 0.01}, {'delta': 0.2}, {'errors': 301}])
def test_a_guarantee_is_what_its_counts_say(change):
    data = original()
    with pytest.raises(CalibrationError, match='guarantee'):
        Calibration.load(data | {'guarantee': data['guarantee'] | change})
