# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Mutated configs: each is refused in one line that says why, or means something.

``MMCASCADE_FUZZ=1000 pytest tests/fuzz`` tries so many of them; the draws are always the same.
"""

from __future__ import annotations

import copy
import math
import os
import random
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from mmengine.config import Config

from mmcascade.engine.configs.testing import EvalFlags, prepare_test
from mmcascade.engine.console.errors import explained
from mmcascade.engine.runs.runner import build_runner
from mmcascade.engine.runs.testing import readable_split
from tests.support.projects.tiny_project import make_project

COUNT = int(os.environ.get('MMCASCADE_FUZZ', '8'))
VALUES: list[Any] = [
    None,
    True,
    False,
    -1,
    0,
    1,
    7,
    0.5,
    -0.5,
    1e30,
    math.nan,
    math.inf,
    '',
    'x',
    '0.5',
    [],
    [None],
    [0.5],
    [(0.2, 0.5)],
    [(0.5, 0.2)],
    [(7, 9)],
    {},
    {'type': 'x'},
    {'x': 1},
    (1, 2, 3),
]
Legal = Callable[[Any], bool]


def none(value: Any) -> bool:
    return value is None


def never(value: Any) -> bool:
    return False


def whole(least: int) -> Legal:
    return lambda v: v is None or isinstance(v, int) and not isinstance(v, bool) and v >= least


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def unit(value: Any) -> bool:
    return is_number(value) and 0 <= value <= 1


def flag(value: Any) -> bool:
    return isinstance(value, bool)


def fractions(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(unit(v) and v > 0 for v in value)


#: Where a config is changed, and which values mean something there.
PLACES: dict[str, Legal] = {
    'model': never,
    'model.type': never,
    'model.unknown': never,
    'model.members': never,
    'model.members.small': never,
    'model.members.small.model': never,
    'model.members.small.checkpoint': none,
    'model.members.small.unsafe_checkpoint': flag,
    'model.members.small.classes': none,
    'model.members.small.unknown': never,
    'model.stages': never,
    'model.stages.0': never,
    'model.stages.0.member': never,
    'model.stages.0.view': lambda v: whole(0)(v) and v is not None,
    'model.stages.0.batch_size': whole(1),
    'model.stages.0.macs': lambda v: v is None or is_number(v) and v >= 0,
    'model.stages.0.temperature': lambda v: is_number(v) and v > 0,
    'model.stages.0.channels_last': flag,
    'model.stages.0.amp': none,
    'model.stages.0.flip': flag,
    'model.stages.0.resize': whole(1),
    'model.stages.0.unknown': never,
    'model.confidence': never,
    'model.fusion': never,
    'model.policy': none,
    'model.policy.type': never,
    'model.policy.windows': lambda v: v in ([None], [(0.2, 0.5)]),
    'model.policy.unknown': never,
    'model.accept': lambda v: v is None or unit(v),
    'model.calibration': none,
    'test_dataloader': never,
    'test_dataloader.batch_size': lambda v: whole(1)(v),
    'test_dataloader.dataset': never,
    'test_dataloader.dataset.type': never,
    'test_dataloader.unknown': never,
    'test_evaluator': never,
    'test_evaluator.1.type': never,
    'test_evaluator.1.risks': lambda v: fractions(v),
    'test_evaluator.1.coverages': lambda v: fractions(v),
    'test_evaluator.1.unknown': never,
}
#: What MMEngine and its libraries take without a look; to refuse it is theirs.
THEIRS = {
    'test_dataloader.batch_size': lambda v: flag(v) or is_number(v),
    'test_dataloader.unknown': lambda v: False,
}


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    cfg = Config.fromfile(make_project(tmp_path_factory.mktemp('fuzz') / 'here', 4))
    cfg.log_level = 'ERROR'
    return cfg


def changed(config: Config, place: str, value: Any) -> Config:
    """The config with another value at a place."""
    cfg = copy.deepcopy(config)
    *path, last = place.split('.')
    target = cfg
    for key in path:
        target = target[int(key) if key.isdigit() else key]
    target[int(last) if last.isdigit() else last] = copy.deepcopy(value)
    return cfg


def built(cfg: Config, work_dir: str) -> None:
    """Everything that a test builds before its first image."""
    readable_split(build_runner(prepare_test(cfg, EvalFlags('cascade.py', work_dir=work_dir))))


def is_legal(place: str, value: Any) -> bool:
    return PLACES[place](value) or THEIRS.get(place, never)(value)


def draws(count: int) -> list[tuple[str, Any]]:
    """The same for every run; every pair once before one comes again."""
    pairs = [(place, value) for place in PLACES for value in VALUES]
    random.Random(0).shuffle(pairs)
    return (pairs * (1 + count // len(pairs)))[:count]


#: What was once accepted, or ended with a traceback.
FOUND = [
    ('test_dataloader', {}),
    ('test_dataloader.dataset', [None]),
    ('test_dataloader.dataset', 'x'),
    ('test_evaluator', []),
]


def test_a_mutated_config_is_refused_in_words_or_means_something(config, tmp_path):
    faults = []
    for number, (place, value) in enumerate([*FOUND, *draws(COUNT)]):
        cfg = changed(config, place, value)
        cfg.experiment_name = f'fuzz{number}'
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                built(cfg, str(tmp_path))
        except Exception as error:
            message = explained(error)
            if message is None:
                faults.append(f'{place}={value!r}: traceback {type(error).__name__}: {error}')
            elif is_legal(place, value) and place not in THEIRS:
                faults.append(f'{place}={value!r}: refused: {message}')
        else:
            if not is_legal(place, value):
                faults.append(f'{place}={value!r}: accepted')
    assert not faults, '\n'.join(faults)
