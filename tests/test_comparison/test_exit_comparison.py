# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Exits beside each other on stored scores: what each policy costs, and what the table says of it."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from mmengine.config import Config

from mmcascade.comparison.exits.comparison import ExitComparison, exits_table
from mmcascade.comparison.exits.systems import Stored, policies_at_equal_cost
from mmcascade.evaluation.curves import coverage_at_risk
from mmcascade.routing import RandomPolicy
from tests.support.projects.exit_project import make_exit_project


@pytest.fixture(scope='module')
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp('exits')
    cfg = Config.fromfile(str(make_exit_project(folder / 'project', 60)))
    for key in ('policy', 'accept'):
        cfg.model.pop(key, None)
    other = Config.fromfile(str(make_exit_project(folder / 'calibration', 60)))
    cfg.val_dataloader = copy.deepcopy(other.test_dataloader)
    comparison = ExitComparison(risk=0.9, half_width=0.2, repeats=50)
    return comparison.run(cfg, folder / 'work', lambda text: None, {'itself': cfg}), folder / 'work', cfg


def test_every_system_costs_what_it_ran_and_policies_cost_the_same(found):
    results, folder, _ = found
    rows = results['systems']
    assert list(rows)[:3] == ['exit 0 alone', 'exit 1 alone', 'exit 2 alone'] and list(rows)[-1] == 'itself'
    alone = [rows[f'exit {k} alone']['macs'] for k in range(3)]
    assert alone == sorted(alone)
    for chain, first in (('exits 1 and 2', alone[1]), ('all exits', alone[0])):
        costs = [rows[f'{policy}, {chain}']['macs'] for policy in ('window', 'threshold', 'random')]
        assert all(first <= cost < alone[2] * 1.1 for cost in costs)
        assert max(costs) < 1.2 * min(costs)  # ties, and the draw of the random ones
    assert rows['itself']['macs'] == rows['window, all exits']['macs']
    assert (folder / 'exits.png').exists() and (folder / 'results.json').exists()
    assert results['anytime'][0]['macs'] == alone[0]
    assert len(results['budgeted']) == 39


def test_the_table_is_that_of_the_replays(found):
    results, folder, cfg = found
    from mmcascade.engine.runs.prepare_store import prepare_store

    test = Stored.of(*prepare_store(cfg, folder / 'scores' / 'test', 'test_dataloader'))
    policies = policies_at_equal_cost(test, (0, 1, 2), 'risk=0.9', 0.2)  # both splits are the same here
    assert isinstance(policies['random'], RandomPolicy)
    for name, policy in policies.items():
        system = test.system(name, (0, 1, 2), policy)
        row = results['systems'][f'{name}, all exits']
        assert row['accuracy']['estimate'] == pytest.approx(1 - system.wrong.mean())
        assert row['coverage']['estimate'] == pytest.approx(coverage_at_risk(system.confidence, system.wrong, 0.9))
        assert row['macs'] == pytest.approx(np.mean(system.cost))
    window, threshold = (results['systems'][f'{name}, all exits']['coverage'] for name in ('window', 'threshold'))
    less = results['systems']['threshold, all exits']['window_minus_this']
    assert less['estimate'] == pytest.approx(window['estimate'] - threshold['estimate'])
    text = exits_table(results).as_text(120)
    assert 'window, all exits' in text and 'window less this' in text


def test_windows_of_no_width_defer_nobody(found):
    results, _, _ = found
    first = results['systems']['exit 0 alone']
    for points in results['curves']['all exits'].values():
        assert points[0]['half_width'] == 0 and points[0]['macs'] == first['macs']
        assert points[0]['accuracy'] == pytest.approx(first['accuracy']['estimate'])
