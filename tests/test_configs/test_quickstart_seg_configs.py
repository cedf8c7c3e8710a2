# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The composed canvases as a data set, and the members that are trained on them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, DefaultScope
from mmengine.runner import Runner
from torch.utils.flop_counter import FlopCounterMode

from mmcascade.datasets.quickstart.canvases import build_canvases, canvas_paths
from mmcascade.engine.configs.training import TrainFlags, prepare_train
from tests.support import ROOT
from tests.support.projects.tiny_fashion_mnist import write_tiny

CONFIGS = ROOT / 'configs' / 'quickstart_seg'
MEMBERS = ('small', 'large')
NUMBERS = dict(train=4, val=2, test=3)


@pytest.fixture(scope='module')
def canvases(tmp_path_factory) -> Path:
    fashion_mnist = write_tiny(tmp_path_factory.mktemp('fashion_mnist'), 120, 20)
    folder = tmp_path_factory.mktemp('canvases')
    build_canvases(fashion_mnist, folder, NUMBERS, height=128, width=256, scale=0.125)
    return folder


@pytest.fixture(autouse=True)
def library_scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def config(name: str, canvases: Path | None = None, **options) -> Config:
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    for split in NUMBERS if canvases else ():
        cfg[f'{split}_dataloader'].dataset.data_root = str(canvases)
    cfg.merge_from_dict(options)
    return cfg


@pytest.mark.parametrize('name', MEMBERS)
def test_each_part_reads_its_own_canvases(canvases, name):
    cfg = config(name, canvases)
    datasets = {split: DATASETS.build(cfg[f'{split}_dataloader'].dataset) for split in NUMBERS}
    assert {split: len(dataset) for split, dataset in datasets.items()} == NUMBERS
    paths = [dataset.get_data_info(i)['img_path'] for dataset in datasets.values() for i in range(len(dataset))]
    assert len(set(paths)) == sum(NUMBERS.values())
    metainfo = datasets['test'].metainfo
    assert len(metainfo['classes']) == len(set(map(tuple, metainfo['palette']))) == 11
    assert metainfo['classes'][0] == 'background' and metainfo['label_map'] is None


@pytest.mark.parametrize(('name', 'size'), [('small', (64, 128)), ('large', (128, 256))])
def test_a_test_canvas_comes_at_the_member_s_size_with_labels_at_its_own(canvases, name, size):
    sample = DATASETS.build(config(name, canvases).test_dataloader.dataset)[0]
    assert sample['inputs'].shape == (3, *size)
    assert sample['data_samples'].ori_shape == (128, 256)
    expected = cv2.imread(str(canvas_paths(canvases, 'test', 0)[1]), cv2.IMREAD_UNCHANGED)
    labels = sample['data_samples'].gt_sem_seg.data[0].numpy()
    if name == 'large':
        np.testing.assert_array_equal(labels, expected)
    assert labels.max() <= 10 and (labels > 0).any()


def macs(name: str, size: tuple[int, int]) -> float:
    model = MODELS.build(config(name).model).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 3, *size), mode='tensor')
    return counter.get_total_flops() / 2


def test_the_small_member_at_half_size_costs_a_tenth():
    assert 0.05 < macs('small', (128, 256)) / macs('large', (256, 512)) < 0.12


@pytest.mark.parametrize('name', MEMBERS)
def test_trains_and_tests(canvases, tmp_path, name):
    cfg = config(
        name,
        canvases,
        **{
            'train_cfg.max_iters': 2,
            'train_cfg.val_interval': 2,
            'param_scheduler.total_steps': 2,
            'log_level': 'ERROR',
            'train_dataloader.batch_size': 2,
            'train_dataloader.num_workers': 0,
            'env_cfg.cudnn_benchmark': False,
        },
    )
    prepare_train(cfg, TrainFlags(f'{name}.py', work_dir=str(tmp_path), persistent_workers=False))
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert (tmp_path / 'iter_2.pth').exists()
    metrics = runner.test()
    assert 0 <= metrics['mIoU'] <= 100
    assert np.isfinite(metrics['aAcc'])


@pytest.mark.parametrize('name', MEMBERS)
def test_takes_crops_and_other_sizes(name):
    model = MODELS.build(config(name).model).eval()
    for size in ((96, 96), (160, 224), (72, 104)):
        assert model.encode_decode(torch.zeros(1, 3, *size), [dict(img_shape=size, ori_shape=size)]).shape == (
            1,
            11,
            *size,
        )


def test_the_cascade_takes_its_members_where_their_training_leaves_them():
    model = config('cascade').model
    assert [(stage.member, stage.get('scale', 1)) for stage in model.stages] == [('small', 0.5), ('large', 1)]
    for name, member in model.members.items():
        trained = config(name)
        assert member.checkpoint == f'{trained.work_dir}/iter_{trained.train_cfg.max_iters}.pth'
        assert trained.param_scheduler.total_steps == trained.train_cfg.max_iters
