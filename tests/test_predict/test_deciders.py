# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A prediction decides as a test does, and makes views of later stages for those that get there."""

from __future__ import annotations

from pathlib import Path

import mmcv
import pytest
import torch
from mmengine.config import Config

from mmcascade import CascadeInferencer
from mmcascade.engine.predict.deciders.lazy_views import LazyViews
from mmcascade.engine.predict.deciders.model_decider import _by_pipeline
from mmcascade.engine.predict.deciders.open_decider import open_decider
from mmcascade.engine.predict.inputs import Item
from mmcascade.engine.predict.request import PredictRequest
from mmcascade.routing import WindowPolicy
from mmcascade.runtime import Decision, Failure
from tests.support.members.tiny_models import tiny
from tests.support.projects.tiny_project import NAMES, make_project


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp('predict') / 'project')


@pytest.fixture(scope='module')
def files(project):
    return sorted((project.parent / 'images').iterdir())


@pytest.fixture(scope='module')
def decider(project):
    return open_decider(project)


def test_as_the_cascade_in_a_test(project, decider, files):
    config = Config.fromfile(project)
    config.model.members.small.classes = config.model.members.large.classes = NAMES
    expected = CascadeInferencer(config, device='cpu')([str(file) for file in files], batch_size=4)
    found = decider.decide(files)
    assert {decision.exit_stage for decision in found} == {0, 1}
    for decision, result in zip(found, expected, strict=True):
        assert (decision.label, decision.class_name) == (result['pred_label'], result['pred_class'])
        assert decision.confidence == pytest.approx(result['confidence'], abs=1e-6)
        assert (decision.accepted, decision.exit_stage) == (result['accepted'], result['exit_stage'])
        assert decision.macs == result['macs']


def test_views_of_later_stages_are_made_for_survivors_only(decider, files, monkeypatch):
    made = []
    take = LazyViews.take

    def counted(self, view, rows):
        made.append((view, len(rows)))
        return take(self, view, rows)

    monkeypatch.setattr(LazyViews, 'take', counted)
    found = decider.decide(files)
    survivors = sum(decision.exit_stage for decision in found)
    assert made == [(0, len(files)), (1, survivors)] and 0 < survivors < len(files)


def test_bytes_and_broken_files(decider, files, tmp_path):
    broken = tmp_path / 'broken.png'
    broken.write_bytes(files[0].read_bytes()[:50])
    good, failed, missing, again, empty = decider.decide(
        [files[0].read_bytes(), broken, tmp_path / 'no.png', files[0], b'']
    )
    assert isinstance(good, Decision) and isinstance(again, Decision)
    assert good.confidence == again.confidence
    assert all(isinstance(result, Failure) for result in (failed, missing, empty))
    assert failed.error == f'{broken} is no image, or cut off' and 'no.png' in missing.error
    assert decider.decide([broken]) == [failed]


@pytest.mark.parametrize('view', [0, 1])
def test_an_image_of_which_no_view_can_be_made_fails_alone(decider, files, monkeypatch, view):
    expected = decider.decide(files)
    late = [at for at, decision in enumerate(expected) if decision.exit_stage == 1][0]
    odd = mmcv.imread(str(files[late]))
    makers, as_before = [*decider.makers], decider.makers[view]
    narrow = _by_pipeline([dict(type='ResizeEdge', scale=8, edge='long')])  # its height would be 0
    makers[view] = lambda image: narrow(image[:1].repeat(40, 1)) if (image == odd).all() else as_before(image)
    monkeypatch.setattr(decider, 'makers', makers)
    found = decider.decide(files)
    assert isinstance(found[late], Failure) and found[late].error.startswith(f'view {view} cannot be made of it: ')
    for at in set(range(len(files))) - {late}:
        assert (found[at].label, found[at].exit_stage) == (expected[at].label, expected[at].exit_stage)
        assert found[at].confidence == pytest.approx(expected[at].confidence, abs=1e-6)


def test_what_is_no_cascade(tmp_path):
    with pytest.raises(ValueError, match='holds neither cascade.py .of a build. nor cascade.json'):
        open_decider(tmp_path)
    with pytest.raises(ValueError, match='there is no config'):
        open_decider(tmp_path / 'nowhere.py')
    (tmp_path / 'one.py').write_text("model = dict(type='mmpretrain.ImageClassifier')")
    with pytest.raises(ValueError, match='is no cascade; its model'):
        open_decider(Path(tmp_path / 'one.py'))


def test_the_running_decision_after_each_stage(decider, files, monkeypatch):
    found = decider.decide([*files, files[0].read_bytes()[:50]])
    request = PredictRequest((), Path('out.csv'), stage_scores=True)
    rows = [decider.rows(request).row(Item(str(k), b''), result) for k, result in enumerate(found)]
    model = decider.model
    low, high = 0.3, 0.6  # of the project
    for row in rows[:-1]:
        assert (low <= row['stage0_confidence'] <= high) == (row['exit_stage'] == 1)
        assert row[f'stage{row["exit_stage"]}_confidence'] == pytest.approx(row['confidence'], abs=1e-6)
        assert row[f'stage{row["exit_stage"]}'] == row['class_name']
        assert (row['stage1'] is None) == (row['exit_stage'] == 0) == (row['stage1_confidence'] is None)
    alone = [result.stages[0].label for result in found[:-1]]
    monkeypatch.setattr(model.router, '_batch_policy', WindowPolicy([None]))  # stage 0 for everybody
    assert [result.label for result in decider.decide(files)] == alone
    assert rows[-1]['error'] and rows[-1]['stage0'] is None


def test_another_pipeline_or_other_weights_are_another_cascade(tmp_path):
    config = make_project(tmp_path / 'project')
    text, weights = config.read_text(), torch.load(tmp_path / 'project' / 'small.pth')
    first = open_decider(config).fingerprint
    config.write_text(text.replace('scale=32', 'scale=24'))
    assert open_decider(config).fingerprint != first
    config.write_text(text)
    torch.save(weights | dict(state_dict=tiny('resnet', 7).state_dict()), tmp_path / 'project' / 'small.pth')
    assert open_decider(config).fingerprint != first
    torch.save(weights, tmp_path / 'project' / 'small.pth')
    assert open_decider(config).fingerprint == first
