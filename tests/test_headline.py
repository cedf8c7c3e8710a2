# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The parts of the headline's benchmark: its figures by hand, its times, and what it says of changed photographs."""

from __future__ import annotations

import runpy
from types import SimpleNamespace

import numpy as np
import pytest

from tests.support import ROOT
from tests.support.projects.tiny_project import make_project
from tests.support.stored.synthetic_scores import make_store, skilled_logits

HEADLINE = ROOT / 'benchmarks' / 'headline'


@pytest.mark.slow
def test_headline_times_a_chain_of_a_config_beside_its_members(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(HEADLINE))
    project = make_project(tmp_path / 'project')
    names = ('small', 'large')
    for seed, part in enumerate(('calibration', 'test')):
        make_store(tmp_path / part, *skilled_logits(500, 5, (1.5, 2.0), seed), names, [6e5, 2e6])
    script = runpy.run_path(str(HEADLINE / 'headline.py'))
    pool = script['Pool']([script['ScoreStore'].open(tmp_path / part) for part in ('calibration', 'test')], names)
    setting, timing = script['Setting'](risk=0.2), script['Timing'](images=13, repeats=2, sizes=(4,))
    row = dict(data='project', chain='small > large') | script['times_of'](str(project), pool, setting, timing)
    assert row['images'] == 13 and len(row['members']) == 2
    for median, low, high in (*row['members'], row['ensemble'], row['plain'], row['deferred']):
        assert 0 < low <= median <= high
    file = script['HeadlineFile'].open(str(tmp_path / 'headline.json'))
    file.add_timed(row | {'load': 9})
    file.add_timed(row)  # in the place of the older one
    again = script['HeadlineFile'].open(str(tmp_path / 'headline.json'))
    assert again.times == [row] and again.timed(dict(data='project', chain='small')) is None


@pytest.mark.slow
def test_changed_photographs_are_flagged_and_clean_ones_are_not(monkeypatch):
    """The whole run needs the photographs; here its corruptions, and its count of windows on known exits."""
    pytest.importorskip('mmpretrain')
    monkeypatch.syspath_prepend(str(HEADLINE))
    script = runpy.run_path(str(HEADLINE / 'drift.py'))
    pixels = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
    for name, (change, strengths) in script['CORRUPTIONS'].items():
        changed = [np.abs(change(pixels, strength) - pixels).mean() for strength in strengths]
        assert 0 < changed[0] < changed[1] < changed[2], name
        assert all(change(pixels, strength).shape == pixels.shape for strength in strengths)

    replay = script['Replay']
    calibration = SimpleNamespace(accept=0.5, measured=dict(units=5000, reached=[1.0, 0.2], coverage=0.7))
    rng = np.random.default_rng(0)

    def flagged(deferred, accepted):
        confidence = np.where(rng.random(2000) < accepted, 0.9, 0.1)
        stages = (rng.random(2000) < deferred).astype(np.int64)
        result = replay(confidence, np.zeros(2000, np.int64), stages, np.ones(2000))
        return script['windows_flagged'](calibration, result, np.zeros(2000, bool), 500, 20)

    assert flagged(0.2, 0.7)['flagged'] == 0
    found = flagged(0.4, 0.7)
    assert found['flagged'] == 20 and found['by'] == 'stage1'
    assert flagged(0.2, 0.5)['by'] == 'accepted'


def test_what_the_headline_keeps_of_a_gain_is_worked_out_by_hand(monkeypatch):
    monkeypatch.syspath_prepend(str(HEADLINE))
    script = runpy.run_path(str(HEADLINE / 'headline_figures.py'))
    own = {
        'accuracy': 80.0,
        'coverage': 60.0,
        'augrc': 5.0,
        'macs': 1.0,
        'deployed_coverage': 1.0,
        'deployed_risk': 1.0,
    }
    figures = {
        'first member': own,
        'last member': {**own, 'macs': 4.0},
        'ensemble': {**own, 'accuracy': 84.0, 'coverage': 70.0, 'augrc': 4.0, 'macs': 5.0},
        'window': {**own, 'accuracy': 81.0, 'coverage': 69.0, 'augrc': 4.5, 'macs': 2.0},
        'threshold': {**own, 'accuracy': 83.0, 'coverage': 58.0, 'augrc': 5.5, 'macs': 2.0},
    }
    found = script['compared'](figures)
    kept = {name: [found[name][f'kept_{figure}'] for figure in ('accuracy', 'coverage', 'augrc')] for name in figures}
    assert kept['window'] == pytest.approx([25, 90, 50]) and kept['threshold'] == pytest.approx([75, -20, -50])
    assert found['window']['times_first'] == 2 and found['window']['times_last'] == 0.5
    gains = [found['differences'][f'ensemble_gain_{figure}'] for figure in ('accuracy', 'coverage', 'augrc')]
    assert gains == [4, 10, 1]  # and positive where the ensemble is better
    assert found['differences']['window_minus_threshold'] == 11 and 'window_minus_random' not in found['differences']


def test_only_what_lies_in_the_window_can_change_a_decision(monkeypatch):
    monkeypatch.syspath_prepend(str(HEADLINE))
    script = runpy.run_path(str(HEADLINE / 'headline_figures.py'))
    decided = script['Decided']

    def system(accepted, macs):
        return decided(np.zeros(4), np.zeros(4, bool), np.array(macs, float), np.array(accepted, bool))

    systems = {
        'first member': system([1, 1, 0, 0], [1, 1, 1, 1]),
        'ensemble': system([1, 0, 1, 0], [2, 2, 2, 2]),
        'window': system([1, 0, 0, 0], [1, 2, 1, 2]),
    }
    assert script['reach'](systems, np.ones(4, int)) == {'acceptance_changed': 50, 'changed_inside_window': 50}
    assert script['reach'](systems, np.array([1, 3, 1, 0]))['changed_inside_window'] == 75
