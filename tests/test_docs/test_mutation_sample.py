# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""`make mutation SAMPLE=...` draws the same mutants again, of what is asked for, and counts what became of them."""

from __future__ import annotations

import inspect
import runpy
import tomllib
from pathlib import Path

from mmcascade.calibration.fit.certificates.bets import Bets
from mmcascade.calibration.fit.certificates.certificate import certify, risk_upper_bound, safest_start
from mmcascade.calibration.fit.certificates.held_out import hold_out_at_random
from mmcascade.calibration.fit.result.guarantee import Guarantee
from mmcascade.routing import CascadeRouter
from mmcascade.routing.policies.policies import going_on
from tests.support import ROOT

SCRIPT = runpy.run_path(str(ROOT / '.ci' / 'mutants.py'))
NAMES = [f'mmcascade.routing.{file}.x_run__mutmut_{number}' for file in ('router', 'stream') for number in range(30)]


def test_what_decides_is_mutated_and_its_tests_are_selected():
    options = tomllib.loads((ROOT / 'pyproject.toml').read_text())['tool']['mutmut']
    mutated = {path for pattern in options['only_mutate'] for path in ROOT.glob(pattern)}
    assert all(any(ROOT.glob(pattern)) for pattern in options['only_mutate'])
    assert all((ROOT / path).exists() for path in options['pytest_add_cli_args_test_selection'])
    for decides in (
        going_on,
        CascadeRouter,
        certify,
        risk_upper_bound,
        safest_start,
        hold_out_at_random,
        Bets,
        Guarantee,
    ):
        file = Path(inspect.getfile(decides))
        assert file in mutated or file.parent in mutated, decides


def test_a_sample_hangs_on_number_and_seed_only():
    drawn = SCRIPT['draw'](NAMES, [], 20, 0)
    assert len(set(drawn)) == 20
    assert set(drawn) < set(NAMES)
    assert SCRIPT['draw'](NAMES[::-1], [], 20, 0) == drawn
    assert SCRIPT['draw'](NAMES, [], 30, 0)[:20] == drawn
    assert SCRIPT['draw'](NAMES, [], 20, 1) != drawn


def test_a_sample_is_of_what_is_asked_for():
    assert set(SCRIPT['draw'](NAMES, ['*.router.*'], 100, 0)) == set(NAMES[:30])
    assert set(SCRIPT['draw'](NAMES, ['*.router.*', '*.stream.*'], 100, 0)) == set(NAMES)


def test_every_mutant_is_counted_once_and_what_lives_is_named():
    verdicts = dict.fromkeys(NAMES[:3], 'killed') | {
        NAMES[3]: 'survived',
        NAMES[30]: 'timeout',
        NAMES[31]: 'not checked',
    }
    assert SCRIPT['table'](verdicts).splitlines() == [
        '| file | drawn | killed | survived | no tests | others | not checked |',
        '| --- | ---: | ---: | ---: | ---: | ---: | ---: |',
        '| `routing.router` | 4 | 3 | 1 | 0 | 0 | 0 |',
        '| `routing.stream` | 2 | 0 | 0 | 0 | 1 | 1 |',
        '| `all` | 6 | 3 | 1 | 0 | 1 | 1 |',
        '',
        f'survived: {NAMES[3]}',
        f'timeout: {NAMES[30]}',
    ]
