# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Networks with exits: what they compute at each, what that costs, how they load, and how they are trained."""

from __future__ import annotations

import math

import pytest
import torch
from mmengine.config import ConfigDict
from mmpretrain.structures import DataSample
from torch.nn import functional

import mmcascade.models  # noqa: F401
from mmcascade.models.members.exits.exit_heads import distillation
from mmcascade.models.members.exits.levels import LEVELS, levels_of
from mmcascade.registry import MODELS
from mmcascade.routing import ExitState
from tests.support.members.tiny_models import CLASSES, PREPROCESSOR, VIT_ARCH

SWIN = dict(embed_dims=12, depths=[1, 1, 2, 1], num_heads=[1, 1, 2, 2])
BACKBONES = {
    'resnet': (dict(type='mmpretrain.ResNet', depth=18, base_channels=4, stem_channels=4), (0, 1, 3), 64),
    'deep stem': (dict(type='mmpretrain.ResNetV1d', depth=50, base_channels=2, stem_channels=4), (1, 2), 64),
    'cifar': (dict(type='mmpretrain.ResNet_CIFAR', depth=18, base_channels=4, stem_channels=4), (0, 1, 2, 3), 32),
    'convnext': (
        dict(type='mmpretrain.ConvNeXt', arch=dict(depths=[1, 1, 2, 1], channels=[8, 8, 16, 16])),
        (0, 2, 3),
        64,
    ),
    'convnext maps': (
        dict(
            type='mmpretrain.ConvNeXt',
            arch=dict(depths=[1, 1, 2, 1], channels=[8, 8, 16, 16]),
            gap_before_final_norm=False,
        ),
        (1, 3),
        64,
    ),
    'swin': (dict(type='mmpretrain.SwinTransformer', arch=SWIN, img_size=64, window_size=2), (0, 1, 3), 64),
    'vit': (dict(type='mmpretrain.VisionTransformer', arch=VIT_ARCH, img_size=32, patch_size=8), (0, 1), 40),
    'timm': (dict(type='mmcascade.TimmFeatures', model_name='tf_efficientnet_lite0', out_indices=(1, 2, 4)), None, 64),
    'timm sequence': (dict(type='mmcascade.TimmFeatures', model_name='resnet18', out_indices=(0, 2, 3)), None, 64),
}


def classifier(backbone, channels, head='mmcascade.MultiExitHead', **kwargs):
    torch.manual_seed(0)
    config = dict(
        type='mmcascade.MultiExitClassifier',
        backbone=backbone,
        head=dict(type=head, num_classes=CLASSES, in_channels=channels),
        data_preprocessor=PREPROCESSOR,
        **kwargs,
    )
    return MODELS.build(ConfigDict(config))


@torch.no_grad()
@pytest.mark.parametrize('name', BACKBONES)
def test_levels_are_what_the_backbone_gives_and_going_on_gives_them_too(name):
    config, indices, size = BACKBONES[name]
    torch.manual_seed(0)
    exits = MODELS.build(ConfigDict(type='mmcascade.LevelExits', backbone=dict(config), out_indices=indices)).eval()
    images = torch.randn(3, 3, size, size)
    expected = exits.backbone(images)
    expected = expected[1:] if len(expected) > exits.exits else expected
    for found, right in zip(exits(images), expected, strict=True):
        torch.testing.assert_close(found, right, rtol=0, atol=0)
    model = classifier(exits, [feature.shape[1] for feature in expected]).eval()
    one_pass = model.all_exits(images)
    for first in range(model.exits):
        _, state = model.step(first, ExitState(-1, images))
        for last in range(first, model.exits):
            torch.testing.assert_close(model.step(last, state)[0], one_pass[last], rtol=0, atol=0)
    torch.testing.assert_close(model(images, mode='tensor'), one_pass[-1], rtol=0, atol=0)


def test_unknown_backbones_and_levels_are_refused_with_the_fix():
    with pytest.raises(ValueError, match='it is not known where the forward pass of a Linear can be left'):
        levels_of(torch.nn.Linear(2, 2))
    resnet = dict(type='mmpretrain.ResNet_CIFAR', depth=18)
    with pytest.raises(ValueError, match='rising levels from 0 to 3'):
        MODELS.build(dict(type='mmcascade.LevelExits', backbone=dict(resnet), out_indices=(2, 1)))
    exits = MODELS.build(dict(type='mmcascade.LevelExits', backbone=dict(resnet), out_indices=(0, 3)))
    with pytest.raises(ValueError, match='2 exits, and the head in_channels='):
        classifier(exits, [4])
    with pytest.raises(TypeError, match='takes a backbone with exits'):
        classifier(dict(resnet), [4])
    assert {'ResNet', 'ConvNeXt', 'SwinTransformer', 'VisionTransformer'} <= set(LEVELS)


@torch.no_grad()
@pytest.mark.parametrize('prune', ['max', 'min'])
@pytest.mark.parametrize('stepmode', ['even', 'lin_grow'])
def test_msdnet_goes_on_bit_for_bit(prune, stepmode):
    shape = dict(blocks=4, base=2, step=2, channels=4, growth=2, factors=(1, 2, 4), bottlenecks=(1, 2, 4))
    torch.manual_seed(0)
    backbone = MODELS.build(dict(type='mmcascade.MSDNet', stem='cifar', prune=prune, stepmode=stepmode, **shape))
    model = classifier(backbone, backbone.out_channels, 'mmcascade.MSDNetHead').eval()
    images = torch.randn(2, 3, 32, 32)
    one_pass = model.all_exits(images)
    state = ExitState(-1, images)
    for exit in range(4):
        logits, state = model.step(exit, state)
        torch.testing.assert_close(logits, one_pass[exit], rtol=0, atol=0)
    layers = backbone.shape.layers
    assert layers == ([2, 2, 2, 2] if stepmode == 'even' else [2, 3, 5, 7])
    assert len(state.rows) == backbone.shape.scales_after(sum(layers)) == 1


def test_wrong_settings_are_refused():
    for wrong, message in (
        (dict(setting='imagenet'), 'setting is one of'),
        (dict(setting='cifar-anytime', prune='mid'), "prune is 'max' or 'min'"),
        (dict(setting='cifar-anytime', stem='mnist'), "stem is 'imagenet' or 'cifar'"),
        (dict(setting='cifar-anytime', bottlenecks=(1, 2)), 'one number for each of 3 scales'),
        (dict(setting='cifar-anytime', step=0), 'step is at least 1'),
    ):
        with pytest.raises(ValueError, match=message):
            MODELS.build(dict(type='mmcascade.MSDNet', **wrong))


def samples(labels):
    return [DataSample().set_gt_label(label) for label in labels]


def small(**kwargs):
    backbone = dict(type='mmcascade.LevelExits', backbone=BACKBONES['cifar'][0], out_indices=(0, 1, 3))
    return classifier(backbone, [4, 8, 32], **kwargs)


def test_the_loss_is_the_weighted_sum_over_exits():
    model = small()
    model.head.weights = [0.5, 1.0, 2.0]
    model.head.distill = 0.3
    images, labels = torch.randn(4, 3, 32, 32), [0, 1, 2, 4]
    model.eval()
    losses = model(images, samples(labels), mode='loss')
    logits = model.all_exits(images)
    for k, weight in enumerate([0.5, 1.0, 2.0]):
        right = weight * functional.cross_entropy(logits[k], torch.tensor(labels))
        torch.testing.assert_close(losses[f'loss_exit{k}'], right)
    torch.testing.assert_close(losses['loss_distill'], 0.3 * distillation(logits, 3.0))
    assert torch.isfinite(sum(losses.values()))


def test_distillation_is_the_divergence_of_each_exit():
    logits = [torch.randn(6, 4, dtype=torch.double) for _ in range(3)]
    target, each = (logits[-1] / 2).softmax(1), []
    for scores in logits[:-1]:
        p = (scores / 2).softmax(1)
        each.append(sum(float(t * math.log(t / q)) for t, q in zip(target.flatten(), p.flatten(), strict=True)) / 6)
    assert float(distillation(logits, 2.0)) == pytest.approx(4 * sum(each) / 2)


def test_gradient_equilibrium_shares_what_flows_back():
    images, labels = torch.randn(4, 3, 32, 32), [0, 1, 2, 4]
    plain, shared = small(), small(gradient_equilibrium=True)
    shared.load_state_dict(plain.state_dict())
    found = []
    for model in (plain, shared):
        model.eval()
        losses = model(images, samples(labels), mode='loss')
        each = []
        for k in range(3):
            gradient = torch.autograd.grad(
                losses[f'loss_exit{k}'], model.backbone.backbone.conv1.weight, retain_graph=True
            )
            each.append(gradient[0])
        found.append((losses, each))
    for k, factor in enumerate([1 / 3, 2 / 3 * 1 / 2, 2 / 3 * 1 / 2]):
        torch.testing.assert_close(found[1][0][f'loss_exit{k}'], found[0][0][f'loss_exit{k}'])
        torch.testing.assert_close(found[1][1][k], factor * found[0][1][k])
