# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The shipped configs for OOD detection: one ID set, marked OOD sets, and metrics that tell them apart."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from mmcascade.__main__ import find_configs
from mmcascade.registry import MODELS
from tests.support import ROOT

CONFIGS = [path for path in find_configs(ROOT) if path.parent.name == 'ood']


@pytest.fixture(params=CONFIGS, ids=lambda path: path.stem)
def config(request):
    with pytest.MonkeyPatch.context() as patch, DefaultScope.overwrite_default_scope('mmpretrain'):
        patch.chdir(ROOT)
        yield Config.fromfile(request.param)


def marks(dataset):
    return [t.name for t in dataset.get('pipeline', []) if t.type == 'mmcascade.MarkOOD']


def test_one_id_set_and_marked_ood_sets_of_other_names(config):
    inside, *outside = config.test_dataloader.dataset.datasets
    assert config.test_dataloader.dataset.ignore_keys == ['classes']
    assert not marks(inside)
    names = [name for dataset in outside for name in marks(dataset)]
    assert len(names) == len(set(names)) == len(outside) >= 2
    types = [metric.type for metric in config.test_evaluator]
    assert types == [
        'mmcascade.SubsetMetric',
        'mmcascade.SelectiveRisk',
        'mmcascade.OODDetection',
        'mmcascade.SCOD',
        'mmcascade.CascadeCost',
    ]
    assert config.val_dataloader.dataset.type != 'ConcatDataset'


def test_ood_images_come_through_the_views_of_the_id_images(config, tmp_path):
    inside, *outside = config.test_dataloader.dataset.datasets
    pipeline = inside.dataset.pipeline if 'dataset' in inside else inside.pipeline
    side = 32 if len(pipeline) == 2 else 28  # CIFAR-10's photographs are taken as they are
    file = str(tmp_path / 'x.png')
    cv2.imwrite(file, np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8))
    info = dict(img=np.zeros((28, 28), np.uint8), gt_label=0) if len(pipeline) == 1 else dict(img_path=file, gt_label=0)

    def shapes(packed):
        views = packed['inputs']
        return [tuple(view.shape) for view in (views if isinstance(views, list) else [views])]

    expected = Compose(pipeline)(info)
    for dataset in outside:
        packed = Compose(dataset.pipeline)(dict(img_path=file))
        assert shapes(packed) == shapes(expected)
        assert packed['data_samples'].ood is True
        assert [packed['data_samples'].dataset] == marks(dataset)


def test_model_builds_without_weights(config):
    for member in config.model.members.values():
        member.checkpoint = None
    assert len(MODELS.build(config.model).stages) == len(config.model.stages)


def test_survives_being_written_and_read(config, tmp_path):
    config.dump(tmp_path / 'dumped.py')
    assert Config.fromfile(tmp_path / 'dumped.py').to_dict() == config.to_dict()


def test_readme_lists_exactly_the_configs():
    listed = {word.strip('`') for word in (ROOT / 'configs/ood/README.md').read_text().split() if word.endswith('.py`')}
    assert listed == {path.name for path in CONFIGS}
