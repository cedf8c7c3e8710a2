# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Penultimate features are what the last layer turns into the logits."""

from __future__ import annotations

import pytest
import torch
from mmengine.registry import MODELS as ROOT_MODELS
from mmpretrain.registry import MODELS

from mmcascade.models.runtimes.networks.class_outputs import class_output
from mmcascade.models.runtimes.networks.features import feature_output, no_features
from tests.support.members.tiny_models import CLASSES, TINY, images, tiny


def last_layer(module):
    return [part for part in module.modules() if isinstance(part, torch.nn.Linear)][-1]


@pytest.mark.parametrize('kind', TINY)
@torch.no_grad()
def test_last_layer_turns_features_into_the_logits_of_the_plain_pass(kind):
    module = tiny(kind)
    x = module.data_preprocessor(dict(inputs=images(3, 32)))['inputs']
    assert no_features(module) is None
    output = feature_output(module, x)
    assert torch.equal(output.logits, class_output(module, x).logits)
    layer = last_layer(module)
    assert output.features.shape == (3, layer.in_features)
    torch.testing.assert_close(layer(output.features), output.logits)


@torch.no_grad()
def test_hidden_layer_of_a_vision_transformer_comes_before_its_features():
    config = dict(TINY['vit'], head=dict(TINY['vit']['head'], hidden_dim=7))
    module = MODELS.build(config).eval()
    output = feature_output(module, torch.randn(2, 3, 32, 32))
    assert output.features.shape == (2, 7)
    torch.testing.assert_close(last_layer(module)(output.features), output.logits)


@torch.no_grad()
def test_plain_networks_of_timm():
    timm = pytest.importorskip('timm')
    network = timm.create_model('tf_efficientnet_lite0', num_classes=CLASSES).eval()
    output = feature_output(network, torch.randn(2, 3, 64, 64))
    torch.testing.assert_close(network.classifier(output.features), output.logits)


class Odd(torch.nn.Module):
    def forward_features(self, x):
        return x

    def forward_head(self, x, pre_logits=False):
        return x if pre_logits else x.mean((2, 3))


def test_features_are_one_row_per_image():
    with pytest.raises(TypeError, match=r'a Odd are a Tensor of shape \(2, 3, 4, 4\), expected .* \(N, D\)'):
        feature_output(Odd(), torch.zeros(2, 3, 4, 4))


LENET = dict(
    _scope_='mmpretrain',
    type='ImageClassifier',
    backbone=dict(type='LeNet5', num_classes=CLASSES),
    neck=None,
    head=dict(type='ClsHead'),
)
DEIT = dict(
    _scope_='mmpretrain',
    type='ImageClassifier',
    neck=None,
    backbone=dict(type='DistilledVisionTransformer', arch='deit-t', img_size=32, patch_size=16),
    head=dict(type='DeiTClsHead', num_classes=CLASSES, in_channels=192),
)


@pytest.mark.parametrize(
    ('build', 'reason'),
    [
        (lambda: ROOT_MODELS.build(LENET), 'ClsHead is fed class scores'),
        (lambda: ROOT_MODELS.build(DEIT), 'DeiTClsHead has two rows of features per image'),
        (lambda: torch.nn.Linear(3, 2), 'a Linear has no forward_features'),
    ],
)
def test_others_are_refused_with_the_reason(build, reason):
    assert reason in no_features(build())
