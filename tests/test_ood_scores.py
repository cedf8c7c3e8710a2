# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The benchmark of OOD scores on stored scores: who is judged by what, and the figures beside plain ones."""

from __future__ import annotations

import importlib
import runpy

import numpy as np
import pytest

from mmcascade.calibration.stores.identity import CascadeIdentity
from mmcascade.comparison.classification.scores import SplitScores
from mmcascade.evaluation.curves import auroc, fpr_at_tpr
from tests.support import ROOT
from tests.support.stored.synthetic_scores import make_store, skilled_logits

NAMES = ('a', 'b', 'c')
KNOWN, OTHERS = 400, 150


@pytest.fixture(scope='module')
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / 'benchmarks' / 'headline'))
        run = runpy.run_path(str(ROOT / 'benchmarks' / 'headline' / 'ood_scores.py'))
        yield vars(importlib.import_module('ood_systems')) | run


@pytest.fixture(scope='module')
def scores(tmp_path_factory):
    """Calibration and test scores; the last test images have no class, and each member guesses by itself."""
    folder, made = tmp_path_factory.mktemp('stores'), []
    for seed, part in enumerate(('calibration', 'test')):
        logits, labels = skilled_logits(KNOWN, 5, (1.5, 1.8, 2.0), seed)
        if part == 'test':
            rng = np.random.default_rng(9)
            logits = [np.r_[each, 2 * rng.standard_normal((OTHERS, 5))].astype(np.float32) for each in logits]
            labels = np.r_[labels, np.full(OTHERS, -1)]
        logits[2] = 3 * logits[2]  # far too sure of itself
        store = make_store(folder / part, logits, labels, NAMES, [1e6, 2e6, 4e6])
        made.append(SplitScores.of(store, CascadeIdentity(store.header.identity.stages, 'energy', 'prob')))
    return made


@pytest.fixture(scope='module')
def names():
    return np.repeat(['id', 'far'], [KNOWN, OTHERS])


def test_disagreement_routes_where_two_members_have_run(script, scores):
    task = script['Task'](*scores, NAMES, 'tpr=0.9', 'none')
    assert task.windows('neg_mutual_information').rules[0] == (None, None)
    own = task.own('neg_mutual_information')
    assert own.deferred.all() and 3e6 < own.macs.mean() < 7e6
    pair = script['Task'](*scores, NAMES[:2], 'tpr=0.9', 'none')
    for name in script['DISAGREEMENT']:
        ensemble = pair.fixed(name, NAMES[:2])
        np.testing.assert_array_equal(pair.own(name).score, ensemble.score)


def test_who_ran_one_member_does_not_disagree(script, scores):
    task = script['Task'](*scores, NAMES[:2], 'tpr=0.9', 'none')
    by_energy, own = task.routed_by_reference('energy'), task.own('energy')
    np.testing.assert_array_equal(by_energy.score, own.score)
    for name, most in (('neg_mutual_information', 0), ('neg_variation_ratio', 0), ('agreement', 1)):
        judged = task.routed_by_reference(name)
        np.testing.assert_array_equal(judged.deferred, own.deferred)
        assert 0 < judged.deferred.mean() < 1
        assert (judged.score[~judged.deferred] == most).all()
        ensemble = task.fixed(name, NAMES[:2])
        np.testing.assert_array_equal(judged.score[judged.deferred], ensemble.score[judged.deferred])


def test_rows_hold_the_figures_and_their_changes_from_the_energy(script, scores, names):
    task = script['Task'](*scores, NAMES[:2], 'tpr=0.9', 'none')
    rows = script['rows_of'](task, names, dict(data='here'), 20)
    assert len({(row['system'], row['score']) for row in rows}) == len(rows) == 2 * 2 + 3 * 5
    found = {(row['system'], row['score']): row for row in rows}
    for score in ('energy', 'neg_mutual_information'):
        row, judged = found['ensemble', score], task.fixed(score, NAMES[:2]).score
        inside = names == 'id'
        assert row['far_auroc'][0] == pytest.approx(100 * auroc(judged, inside), rel=1e-3)
        assert row['far_fpr95'][0] == pytest.approx(100 * fpr_at_tpr(judged, inside, 0.95), rel=1e-3)
        assert row['far_auroc'][1] <= row['far_auroc'][0] <= row['far_auroc'][2]
        assert row['mmacs_id'] == row['mmacs_mixture'] == 3
    assert found['ensemble', 'energy']['far_auroc_change'] == [0, 0, 0]
    change = found['ensemble', 'max_prob']['far_auroc_change'][0]
    assert change == pytest.approx(
        found['ensemble', 'max_prob']['far_auroc'][0] - found['ensemble', 'energy']['far_auroc'][0], abs=0.02
    )
    assert found['first member', 'energy']['far_among_deferred'] is None
    assert found["energy's windows", 'energy']['mmacs_id'] < 3


def test_a_score_without_windows_leaves_its_row_empty(script, scores, names):
    task = script['Task'](*scores, NAMES[:2], 'tpr=0.9', 'none')
    assert script['Task'](*scores, NAMES, 'tpr=0.9', 'auto').test.stages['c'].temperature > 2
    rows = script['rows_of'](task, names, {}, 2)
    empty = dict.fromkeys(('far_auroc', 'far_fpr95', 'far_among_deferred', 'mmacs_id'))
    task.own = lambda score: None
    row = next(row for row in script['rows_of'](task, names, {}, 2) if row['system'] == 'own windows')
    assert {key: row[key] for key in empty} == empty and row.keys() == rows[0].keys()
