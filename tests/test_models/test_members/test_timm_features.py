# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch
from mmengine.registry import DefaultScope

from mmcascade.models.members.weights.checkpoints import CheckpointError
from mmcascade.registry import MODELS

timm = pytest.importorskip('timm')
NAME = 'tf_efficientnet_lite0'


def build(**options):
    with DefaultScope.overwrite_default_scope('mmengine'):
        return MODELS.build(dict(type='mmcascade.TimmFeatures', **dict(dict(model_name=NAME), **options)))


@pytest.fixture(scope='module')
def classifier():
    torch.manual_seed(0)
    return timm.create_model(NAME, pretrained=False).eval()


def pretrained(classifier, tmp_path, without=()):
    weights = {key: value for key, value in classifier.state_dict().items() if key not in without}
    torch.save(dict(state_dict=weights), tmp_path / 'lite0.pth')
    return dict(type='Pretrained', checkpoint=str(tmp_path / 'lite0.pth'))


def test_gives_the_feature_maps_of_the_classifier(classifier, tmp_path):
    features = build(init_cfg=pretrained(classifier, tmp_path))
    features.init_weights()
    x = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        maps = features(x)
        # Level by level in the whole network: the last block before each change of resolution.
        y = classifier.bn1(classifier.conv_stem(x))
        wanted = {}
        for index, block in enumerate(classifier.blocks):
            y = block(y)
            wanted[index] = y
    assert [tuple(each.shape) for each in maps] == [(2, 40, 8, 12), (2, 112, 4, 6), (2, 320, 2, 3)]
    for each, index in zip(maps, (2, 4, 6), strict=True):
        torch.testing.assert_close(each, wanted[index])


def test_stays_as_it_is_in_training(classifier, tmp_path):
    features = build(init_cfg=pretrained(classifier, tmp_path), trainable=('blocks.6',))
    features.init_weights()
    features.train()
    assert features.training and not any(part.training for part in features.model.modules())
    before = {key: value.clone() for key, value in features.state_dict().items()}
    x = torch.randn(1, 3, 64, 64)
    features(x)[-1].sum().backward()
    trained = {name for name, value in features.named_parameters() if value.grad is not None}
    assert trained == {name for name, _ in features.named_parameters() if name.startswith('model.blocks.6.')} != set()
    assert all(value.equal(before[key]) for key, value in features.state_dict().items())


def test_weights_that_are_missing_are_named(classifier, tmp_path):
    features = build(init_cfg=pretrained(classifier, tmp_path, without=('blocks.0.0.bn1.bias',)))
    with pytest.raises(CheckpointError, match='lite0.pth.*does not fit the features .*\n.*blocks.0.0.bn1.bias'):
        features.init_weights()


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (dict(model_name='tf_efficient_lite'), "model_name='tf_efficient_lite' is no network of timm"),
        (dict(trainable=('blocks.9',)), "tf_efficientnet_lite0 has no part named 'blocks.9' to train.*'blocks.6'"),
    ],
)
def test_bad_arguments_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        build(**options)
