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
from mmcascade.models.members.members import build_member
from mmcascade.models.members.weights.checkpoints import CheckpointError
from mmcascade.models.runtimes.networks.exit_network import ExitCosts, ExitNetwork
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


def msdnet(setting, classes=1000, **kwargs):
    return MODELS.build(
        ConfigDict(
            type='mmcascade.MultiExitClassifier',
            backbone=dict(type='mmcascade.MSDNet', setting=setting, **kwargs),
            head=dict(
                type='mmcascade.MSDNetHead',
                num_classes=classes,
                hidden=128 if setting.startswith('cifar') else None,
            ),
        )
    ).eval()


#: Parameters (millions) up to each exit with the exits before, as the public implementation prints them.
PUBLISHED = {
    'imagenet-step7': ([612, 819, 846, 684, 286], [8.76, 20.15, 31.73, 41.86, 62.31]),
    'imagenet-step4': (None, [4.24, 8.77, 13.07, 16.75, 23.96]),
}


@pytest.mark.parametrize('setting', PUBLISHED)
def test_msdnet_has_the_published_size(setting):
    macs, parameters = PUBLISHED[setting]
    model = msdnet(setting)
    total, found = 0, []
    for block, head in zip(model.backbone.blocks, model.head.classifier, strict=True):
        total += sum(p.numel() for part in (block, head) for p in part.parameters())
        found.append(round(total / 1e6, 2))
    assert found == parameters
    if macs:
        image = torch.zeros(1, 3, 224, 224, dtype=torch.uint8)
        costs = [ExitCosts(ExitNetwork(model, exit)) for exit in range(model.exits)]
        spent = [0.0, *(cost.spent(image) for cost in costs)]
        assert [round((c.whole(image) - before) / 1e6) for c, before in zip(costs, spent, strict=False)] == macs


@pytest.mark.parametrize(
    'setting, layers',
    [
        ('cifar-anytime', [4, *[2] * 9]),
        ('cifar-anytime-7', [4, *[2] * 6]),
        ('cifar-budgeted', [1, 2, 3, 4, 5, 6, 7]),
        ('cifar-budgeted-5', [1, 2, 3, 4, 5]),
    ],
)
def test_settings_of_cifar_have_the_layers_of_the_published_commands(setting, layers):
    blocks = MODELS.build(dict(type='mmcascade.MSDNet', setting=setting)).blocks
    found = [sum(type(layer).__name__ == 'Layer' for layer in block) for block in blocks]
    assert found == layers, [[type(layer).__name__ for layer in block] for block in blocks]


def test_msdnet_loads_the_names_of_the_public_implementation_strictly(tmp_path):
    model = msdnet('cifar-budgeted', 10)
    own = model.state_dict()
    public = {
        'module.' + key.removeprefix('backbone.').replace('head.classifier', 'classifier'): value + 0.5
        for key, value in own.items()
        if not key.startswith('data_preprocessor')
    }
    assert 'module.blocks.0.0.layers.0.net.0.weight' in public
    assert 'module.blocks.0.1.layers.1.conv_down.net.3.weight' in public
    assert 'module.classifier.6.m.1.net.1.running_mean' in public and 'module.classifier.6.linear.bias' in public
    torch.save({'state_dict': public}, tmp_path / 'public.pth')
    config = dict(
        type='mmcascade.MultiExitClassifier',
        backbone=dict(type='mmcascade.MSDNet', setting='cifar-budgeted'),
        head=dict(type='mmcascade.MSDNetHead', num_classes=10, hidden=128),
    )
    loaded = build_member('msdnet', config, tmp_path / 'public.pth').module.state_dict()
    for key, value in own.items():
        if value.is_floating_point():
            assert torch.equal(loaded[key], value + 0.5)
    del public['module.classifier.3.linear.bias']
    torch.save({'state_dict': public}, tmp_path / 'public.pth')
    with pytest.raises(CheckpointError, match='head.classifier.3.linear.bias'):
        build_member('msdnet', config, tmp_path / 'public.pth')


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
