# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Both inferencers, with images of all kinds."""

from __future__ import annotations

import json

import mmcv
import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmcascade import CascadeInferencer, CascadeSegInferencer
from tests.support.projects.tiny_project import make_project

pytest.importorskip('mmseg.models')
from tests.support.projects.tiny_seg_project import CLASSES, write_project  # noqa: E402  (needs mmseg)


def kinds_of(path) -> list:
    bgr = mmcv.imread(str(path))
    rgb = np.ascontiguousarray(bgr[..., ::-1])
    return [path, str(path), bgr, Image.open(path), path.read_bytes(), torch.from_numpy(rgb).permute(2, 0, 1)]


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp('project') / 'here')


@pytest.fixture(scope='module')
def seg_project(tmp_path_factory):
    root = tmp_path_factory.mktemp('seg')
    cfg = write_project(root, dict(test=2), policy=dict(type='mmcascade.WindowPolicy', windows=[(None, 0.7)]))
    cfg.dump(root / 'cascade.py')
    return root / 'cascade.py'


def test_every_kind_gives_the_same_decision_which_json_can_hold(project, tmp_path):
    inferencer = CascadeInferencer(project)
    photo = project.parent / 'images' / '003.png'
    results = inferencer(kinds_of(photo), batch_size=4, show_dir=tmp_path / 'new' / 'pictures')
    assert all(result == results[0] for result in results)
    assert json.loads(json.dumps(results, allow_nan=False)) == results
    assert results[0]['pred_scores'][results[0]['pred_label']] == pytest.approx(results[0]['pred_score'])
    names = sorted(path.name for path in (tmp_path / 'new' / 'pictures').iterdir())
    assert names == [f'{k:06d}_003.png' if k < 2 else f'{k:06d}.png' for k in range(6)]
    picture = mmcv.imread(str(tmp_path / 'new' / 'pictures' / names[0]))
    assert picture.shape[1] == 320 and picture.shape[0] > 320  # the image, and lines of text under it


def test_nothing_finite_is_none_in_json(project):
    inferencer = CascadeInferencer(project)
    for weight in inferencer.model.parameters():
        weight.data.fill_(torch.nan)
    with pytest.warns(UserWarning, match="member '(small|large)' gave no finite score"):
        (result,) = inferencer(np.zeros((40, 40, 3), np.uint8))
    assert result['confidence'] is None and result['accepted'] is False
    json.dumps(result, allow_nan=False)


def test_a_list_that_holds_something_else_is_refused(project):
    with pytest.raises(TypeError, match='got a int'):
        CascadeInferencer(project)([3])


def test_segmentors_give_the_same_for_every_kind(seg_project, tmp_path):
    inferencer = CascadeSegInferencer(seg_project)
    photo = next(path for path in sorted(seg_project.parent.rglob('*.[jp][pn]g')) if mmcv.imread(str(path)).std() > 20)
    results = inferencer(kinds_of(photo), out_dir=tmp_path / 'maps', show_dir=tmp_path / 'pictures')
    paths = [result.pop('label_map') for result in results]
    assert all(result == results[0] for result in results)
    result = results[0]
    assert json.loads(json.dumps(results, allow_nan=False)) == results
    (sample,) = inferencer(photo, return_datasamples=True)
    labels = sample.pred_sem_seg.data[0].numpy()
    assert result['size'] == list(labels.shape) == list(mmcv.imread(str(photo)).shape[:2])
    for path in paths:
        np.testing.assert_array_equal(mmcv.imread(path, 'unchanged'), labels)
    shares = {CLASSES[k]: float((labels == k).mean()) for k in np.unique(labels)}
    assert result['classes'] == pytest.approx(shares)
    assert [cell['exit_stage'] for cell in result['cells']] == sample.cells.exit_stages.tolist()
    assert sum(cell['macs'] for cell in result['cells']) == pytest.approx(result['macs'])
    assert result['confidence'] == sample.confidence and result['accepted'] is None
    inferencer.model.accept = sample.confidence
    (decided,) = inferencer(photo)
    assert decided['accepted'] is True and decided['cells'] == result['cells']
    assert len(list((tmp_path / 'pictures').iterdir())) == 6


def test_the_segmentation_inferencer_gives_what_the_test_gives(seg_project):
    from mmengine.registry import DefaultScope
    from mmengine.runner import Runner

    inferencer = CascadeSegInferencer(seg_project)
    cfg = Config.fromfile(seg_project)
    with DefaultScope.overwrite_default_scope('mmseg'):
        loader = Runner.build_dataloader(cfg.test_dataloader)
        for batch in loader:
            for sample in inferencer.model.test_step(batch):
                (again,) = inferencer(sample.img_path, return_datasamples=True)
                assert torch.equal(again.pred_sem_seg.data, sample.pred_sem_seg.data)
                torch.testing.assert_close(again.cells.confidence, sample.cells.confidence, equal_nan=True)


def test_other_models_are_refused(project, seg_project):
    with pytest.raises(TypeError, match='got a WindowCascadeClassifier; use CascadeInferencer for classifiers'):
        CascadeSegInferencer(CascadeInferencer(project).model)
    with pytest.raises(ValueError, match=r'needs pipeline=\[...\]'):
        CascadeSegInferencer(CascadeSegInferencer(seg_project).model)
    with pytest.raises(ValueError, match='batch_size is a number of images >= 1, got 0'):
        CascadeSegInferencer(seg_project)([], batch_size=0)
    assert CascadeSegInferencer(seg_project)([]) == []
