# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The members for CamVid: trained by MMSegmentation's own loop, and then members of a cascade."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmcascade.engine.configs.testing import EvalFlags, prepare_test
from mmcascade.engine.configs.training import TrainFlags, prepare_train
from mmcascade.models.members.members import build_member
from tests.support import ROOT
from tests.support.projects.tiny_camvid import write_tiny

pytest.importorskip('mmseg')
timm = pytest.importorskip('timm')
MEMBERS = {'small': 'tf_efficientnet_lite0', 'large': 'tf_efficientnet_lite2'}


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """A tiny CamVid in ``data``, and random weights of the networks."""
    folder = tmp_path_factory.mktemp('camvid')
    write_tiny(folder / 'CamVid')
    with pytest.MonkeyPatch.context() as patch, pytest.warns(UserWarning, match='CamVid has'):
        patch.setattr(sys, 'argv', ['camvid', str(folder / 'CamVid'), str(folder / 'data')])
        runpy.run_path(str(ROOT / 'tools' / 'dataset_converters' / 'camvid.py'), run_name='__main__')
    torch.manual_seed(0)
    for network in MEMBERS.values():
        weights = timm.create_model(network, pretrained=False).state_dict()
        torch.save(dict(state_dict=weights), folder / f'{network}.pth')
    return folder


def config(name: str, folder: Path | None = None) -> Config:
    cfg = Config.fromfile(ROOT / 'configs' / 'camvid' / f'{name}.py')
    if folder is not None:
        for part in ('train', 'val', 'test'):
            cfg[f'{part}_dataloader'].dataset.data_root = str(folder / 'data')
        cfg.model.backbone.init_cfg.checkpoint = str(folder / f'{MEMBERS[name]}.pth')
        cfg.train_dataloader.batch_size = 2
        cfg.train_cfg.update(max_iters=2, val_interval=2)
        cfg.work_dir = str(folder / 'work' / name)
    return cfg


@pytest.mark.parametrize('name', MEMBERS)
def test_survives_being_written_and_read(name, tmp_path):
    config(name).dump(tmp_path / 'dumped.py')
    assert Config.fromfile(tmp_path / 'dumped.py').to_dict() == config(name).to_dict()


@pytest.mark.parametrize('name', MEMBERS)
def test_calibrates_on_the_official_val_split_and_tests_on_test(name):
    cfg = config(name)
    for part in ('train', 'val', 'test'):
        assert cfg[f'{part}_dataloader'].dataset.data_prefix == dict(
            img_path=f'img_dir/{part}', seg_map_path=f'ann_dir/{part}'
        )
    assert cfg.randomness.seed == 0


@pytest.mark.parametrize('name', MEMBERS)
def test_trains_tests_and_becomes_a_member(name, folder):
    cfg = prepare_train(config(name, folder), TrainFlags(f'configs/camvid/{name}.py'))
    cfg.experiment_name = f'train_{name}'
    runner = Runner.from_cfg(cfg)
    runner.train()
    trained = runner.model.eval()
    pretrained = torch.load(folder / f'{MEMBERS[name]}.pth')['state_dict']
    assert all(value.equal(pretrained[key]) for key, value in trained.backbone.model.state_dict().items())

    checkpoint = folder / 'work' / name / 'iter_2.pth'
    member = build_member(name, ROOT / 'configs' / 'camvid' / f'{name}.py', checkpoint)
    assert member.loaded and member.classes[:3] == ('sky', 'building', 'pole')
    for height, width in ((360, 480), (160, 160), (45, 77)):
        x = torch.randn(1, 3, height, width)
        with torch.no_grad():
            scores = member.module(x, mode='tensor')
            torch.testing.assert_close(scores, trained(x, mode='tensor'))
        assert scores.shape == (1, 11, -(-height // 8), -(-width // 8))

    tested = prepare_test(config(name, folder), EvalFlags(f'configs/camvid/{name}.py', checkpoint=str(checkpoint)))
    tested.experiment_name = f'test_{name}'
    runner = Runner.from_cfg(tested)
    drives: list[str] = []
    predict = runner.model.test_step

    def noting(batch):
        samples = predict(batch)
        drives.extend(sample.drive for sample in samples)
        assert all(sample.pred_sem_seg.shape == sample.ori_shape == (36, 48) for sample in samples)
        return samples

    runner.model.test_step = noting
    assert 0 <= runner.test()['mIoU'] <= 100
    assert drives == ['0001TP', 'Seq05VD', 'Seq05VD']
