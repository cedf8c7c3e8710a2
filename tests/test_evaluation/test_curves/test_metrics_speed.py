# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""benchmarks/speed/metrics_speed.py gives others what they take, and does without those that are not installed."""

from __future__ import annotations

import importlib.util

import pytest

from tests.support import ROOT

BENCHMARKS = ROOT / 'benchmarks'


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS / 'speed'))
    import metrics_speed

    monkeypatch.setattr(metrics_speed, 'peak_bytes_elsewhere', lambda units, library, name: 0)
    return metrics_speed


def test_others_agree_where_they_define_the_same(script):
    rows = script.measure(500, 1)
    ours = [row for row in rows if row['library'] == 'mmcascade']
    assert {row['scores'] for row in ours} == set(script.SCORES)
    assert {row['summary'] for row in ours} == set(script.SUMMARIES)
    assert all(row['times_sort'] > 0 and row['same_value'] is None for row in ours)
    others = {(row['library'], row['summary']): row for row in rows if row['library'] != 'mmcascade'}
    assert len(others) == 5
    for (_, name), row in others.items():
        if row['seconds'] is not None:
            assert row['same_value'] is (True if name in script.SAME_DEFINITION else None)
    assert others['scikit-learn', 'auroc']['seconds'] > 0


def test_a_library_that_is_missing_has_empty_cells(script, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None if name == 'torch_uncertainty' else find(name))
    rows = [row for row in script.measure(50, 1) if row['library'] == 'torch-uncertainty']
    assert [row['summary'] for row in rows] == ['aurc', 'augrc', 'fpr_at_tpr']
    assert all(row['seconds'] is None and row['size'] == 50 for row in rows)


def test_values_of_another_definition_are_near(script):
    pytest.importorskip('torch_uncertainty', reason='needs requirements/benchmark.txt')
    units = script.Units.draw('probabilities', 20_000)
    for name in ('aurc', 'augrc'):
        theirs = script.OTHERS['torch-uncertainty'][1][name](units)
        assert theirs == pytest.approx(script.SUMMARIES[name](units), rel=1e-2)
