# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The configs for CIFAR-10's photographs and for the subset of ImageNet."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, DefaultScope

from mmcascade.datasets.public.cifar10 import CLASSES
from mmcascade.engine.runs.prepare_store import prepare_store
from mmcascade.models.members.cifar_resnet import CifarResNet
from tests.support import ROOT

pytest.importorskip('mmpretrain')
CONFIGS = ROOT / 'configs'
CIFAR = sorted(path.stem for path in (CONFIGS / 'cifar10').glob('*.py'))
CASCADES = {'family': 4, 'pair': 2, 'small_large': 2}
MMACS = {20: 41, 32: 69, 44: 97, 56: 125}


@pytest.fixture(autouse=True)
def library_scope():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The folder that configs run in, with four pictures of each class and untrained networks."""
    (tmp_path / 'configs').symlink_to(CONFIGS)
    pixels = np.random.default_rng(0).integers(0, 255, (40, 32, 32, 3), np.uint8)
    for index, picture in enumerate(pixels):
        target = tmp_path / 'data' / 'cifar10' / 'test' / CLASSES[index % 10] / f'{index}.jpg'
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), picture)
    for layers in MMACS:
        state = {f'backbone.{name}': value for name, value in CifarResNet(layers).state_dict().items()}
        state |= {'head.fc.weight': torch.randn(10, 64), 'head.fc.bias': torch.randn(10)}
        target = tmp_path / 'data' / 'cifar10' / 'networks' / f'resnet{layers}.pth'
        target.parent.mkdir(exist_ok=True)
        torch.save({'state_dict': state}, target)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize('name', [*(f'cifar10/{name}' for name in CIFAR), 'imagenet_subset/lites'])
def test_survives_being_written_and_read(name, tmp_path):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    cfg.dump(tmp_path / 'dumped.py')
    assert Config.fromfile(tmp_path / 'dumped.py').to_dict() == cfg.to_dict()


@pytest.mark.parametrize('name', CASCADES)
def test_cascades_run_on_half_of_the_pictures_and_are_judged_on_the_other(name, folder):
    cfg = Config.fromfile(f'configs/cifar10/{name}.py')
    assert cfg.split.num == 5000
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.num = 20
    store, _ = prepare_store(cfg, folder / 'store')  # refuses splits that share a picture
    assert store.units == 20 and len(store.stages()) == CASCADES[name]
    layers = [int(stage.member.removeprefix('resnet')) for stage in store.header.identity.stages]
    assert layers == sorted(layers)
    assert [round(float(stage.macs[0]) / 1e6) for stage in store.stages()] == [MMACS[depth] for depth in layers]


def test_a_network_alone_is_a_classifier_of_the_library(folder):
    cfg = Config.fromfile('configs/cifar10/resnet44.py')
    assert MODELS.build(cfg.model)(torch.randn(2, 3, 32, 32), mode='tensor').shape == (2, 10)
    assert cfg.load_from == 'data/cifar10/networks/resnet44.pth'
    assert len(cfg.test_evaluator) == 2


def test_lites_take_the_squashed_photographs_whole_at_their_sizes(tmp_path):
    (tmp_path / 'images').mkdir()
    cv2.imwrite(str(tmp_path / 'images' / 'a.JPEG'), np.zeros((227, 227, 3), np.uint8))
    (tmp_path / 'test.txt').write_text('a.JPEG 472\n')
    cfg = Config.fromfile(CONFIGS / 'imagenet_subset' / 'lites.py')
    assert cfg.val_dataloader.dataset.ann_file == 'calibration.txt' and 'even' in cfg.test_dataloader.dataset.data_root
    cfg.test_dataloader.dataset.data_root = str(tmp_path)
    sample = DATASETS.build(cfg.test_dataloader.dataset)[0]
    assert [tuple(view.shape) for view in sample['inputs']] == [(3, side, side) for side in (224, 240, 260)]
    assert sample['data_samples'].gt_label == 472
