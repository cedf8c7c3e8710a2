# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Cascades that are routed, or judged, by how far their members disagree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mmcascade.calibration.grid.plan import Plan
from mmcascade.calibration.replay.quality import Quality
from mmcascade.calibration.replay.replay import replay
from mmcascade.calibration.search.candidates import Candidates
from mmcascade.calibration.search.search import search
from mmcascade.evaluation.curves import auroc
from mmcascade.routing import WindowPolicy
from tests.support.references.loop_cascade import loop_cascade
from tests.support.stored.calibrating import fit_store
from tests.test_calibration.synthetic import identity, members, store_of

DISAGREEMENT = ('neg_mutual_information', 'neg_variation_ratio', 'agreement')


@pytest.fixture(scope='module')
def stored(tmp_path_factory):
    labels, stages = members(400, 0, skills=(2.0, 2.5, 3.0), scales=(1.0, 1.0, 1.0), macs=(1.0, 2.0, 4.0))
    return store_of(tmp_path_factory.mktemp('store'), labels, stages), labels, stages


@pytest.mark.parametrize('name', DISAGREEMENT)
@pytest.mark.parametrize('fusion', ['prob', 'logit'])
def test_windows_are_placed_where_two_members_have_run(stored, name, fusion):
    store, labels, stages = stored
    cascade = replace(identity(3), confidence=name, fusion=fusion)
    made = fit_store(store, cascade, 'coverage=0.7', half_width=0.2, temperatures='none')
    assert made.windows[0] == (None, None) and len(made.tau) == 1
    low, high = made.windows[1]
    assert low <= made.tau[0] <= high
    found = replay(stages, made.policy(), 400, name, fusion)
    slow = loop_cascade([stage.values.numpy() for stage in stages], made.windows, name, fusion)
    assert found.exit_stage.tolist() == [row['exit_stage'] for row in slow]
    np.testing.assert_allclose(found.confidence, [row['confidence'] for row in slow], atol=1e-6)
    assert made.measured['reached'][:2] == [1, 1] and made.measured['coverage'] >= 0.7


@pytest.mark.parametrize('name', DISAGREEMENT)
def test_an_ensemble_of_two_is_judged_by_its_disagreement(tmp_path, name):
    labels, stages = members(600, 1)
    made = fit_store(
        store_of(tmp_path, labels, stages), replace(identity(2), confidence=name), 'risk=0.3', temperatures='none'
    )
    assert made.windows == [(None, None)] and made.tau == []
    found = replay(stages, made.policy(), 600, name)
    assert auroc(found.confidence, found.label == labels) > 0.6, 'members that agree are right more often'


@pytest.mark.parametrize('name', DISAGREEMENT)
def test_a_search_opens_the_first_gap_and_decides_in_the_next(stored, name):
    store, labels, stages = stored
    candidates = Candidates.from_stores([store], confidence=name)
    found = search(candidates, np.arange(400), Plan(Quality.parse('accuracy'), chains=((0, 1, 2),)))
    assert {setting.windows[0] for setting in found.front} == {(None, None)}
    assert any(setting.windows[1] != (None, None) for setting in found.front)
    for setting in found.front:
        slow = replay(stages, WindowPolicy(list(setting.windows)), 400, name)
        assert setting.accuracy == pytest.approx((slow.label == labels).mean())
        assert setting.cost == pytest.approx(slow.macs.mean())
