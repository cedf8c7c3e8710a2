# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Each library's networks see the pixels that the library itself would have made."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from mmcascade.models.members.recipes.huggingface_recipe import huggingface_recipe
from mmcascade.models.members.recipes.openmmlab_recipe import pipeline_view
from mmcascade.models.members.recipes.recipe import NormalizedNetwork, Recipe
from mmcascade.models.members.recipes.timm_recipe import timm_recipe
from mmcascade.models.members.recipes.torchvision_recipe import torchvision_recipe
from mmcascade.runtime.fields import Fields
from mmcascade.runtime.preprocessing.views import View

SIZES = [(300, 400), (331, 250), (64, 64), (90, 500)]


def picture(size, seed=0):
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (size[0] // 9 + 2, size[1] // 9 + 2, 3), dtype=np.uint8))
    noise = rng.integers(-8, 9, (*size, 3))
    smooth = np.asarray(small.resize(size[::-1], Image.Resampling.BICUBIC)).astype(int)
    return np.clip(smooth + noise, 0, 255).astype(np.uint8)


def seen(recipe, image):
    """What the network sees: the view of the recipe, normalised as NormalizedNetwork does it."""
    view = View.read(Fields(recipe.view, 'view'))
    return NormalizedNetwork(torch.nn.Identity(), recipe)(torch.from_numpy(view(image))[None])[0]


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize(
    'config',
    [
        dict(input_size=(3, 224, 224), interpolation='bicubic', crop_pct=0.875, crop_mode='center'),
        dict(input_size=(3, 224, 224), interpolation='bilinear', crop_pct=1.0, crop_mode='center'),
        dict(input_size=(3, 128, 192), interpolation='bicubic', crop_pct=0.9, crop_mode='center'),
        dict(input_size=(3, 224, 224), interpolation='bicubic', crop_pct=0.9, crop_mode='squash'),
        dict(input_size=(3, 224, 224), interpolation='bicubic', crop_pct=0.95, crop_mode='border'),
    ],
)
def test_timm(config, size):
    config = dict(config, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    image = picture(size)
    expected = timm.data.create_transform(**config, is_training=False)(Image.fromarray(image))
    torch.testing.assert_close(seen(timm_recipe(config), image), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize('name', ['resnet18', 'vit_base_patch16_224', 'tf_efficientnet_lite2', 'convnext_tiny'])
def test_timm_by_name(name):
    config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    image = picture((300, 420))
    expected = timm.data.create_transform(**config, is_training=False)(Image.fromarray(image))
    torch.testing.assert_close(seen(timm_recipe(config), image), expected, rtol=0, atol=1e-5)


def test_timm_with_an_unknown_crop():
    with pytest.raises(ValueError, match="crop_mode .* got 'spiral'"):
        timm_recipe(
            dict(input_size=(3, 8, 8), interpolation='bicubic', mean=(0,) * 3, std=(1,) * 3, crop_mode='spiral')
        )


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize(
    'weights', ['ResNet50_Weights.IMAGENET1K_V2', 'ViT_B_16_Weights.DEFAULT', 'EfficientNet_B0_Weights.DEFAULT']
)
def test_torchvision(weights, size):
    import torchvision

    preset = torchvision.models.get_weight(weights).transforms()
    image = picture(size)
    torch.testing.assert_close(
        seen(torchvision_recipe(preset), image), preset(Image.fromarray(image)), rtol=0, atol=1e-5
    )


def test_torchvision_of_another_task():
    import torchvision

    with pytest.raises(ValueError, match='no preset of classifiers'):
        torchvision_recipe(torchvision.models.get_weight('FCN_ResNet50_Weights.DEFAULT').transforms())


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize(
    ('kind', 'options'),
    [
        ('ViTImageProcessor', {}),
        ('ViTImageProcessor', dict(size=dict(height=96, width=128), resample=3, do_normalize=False)),
        ('ConvNextImageProcessor', dict(size=dict(shortest_edge=224))),
        ('ConvNextImageProcessor', dict(size=dict(shortest_edge=384))),
        ('BitImageProcessor', {}),
        ('DeiTImageProcessor', {}),
        ('CLIPImageProcessor', {}),
        ('MobileNetV2ImageProcessor', {}),
    ],
)
def test_huggingface(kind, options, size):
    transformers = pytest.importorskip('transformers')
    name = kind + 'Pil' if hasattr(transformers, kind + 'Pil') else kind
    processor = getattr(transformers, name)(**options)
    image = picture(size)
    expected = processor(Image.fromarray(image), return_tensors='pt')['pixel_values'][0]
    given = seen(huggingface_recipe(processor), image)
    assert given.shape == expected.shape
    torch.testing.assert_close(given, expected, rtol=0, atol=1e-5)


def test_huggingface_that_pads():
    class Odd:
        do_pad = True

    with pytest.raises(ValueError, match='Odd pads'):
        huggingface_recipe(Odd())


def test_networks_that_name_their_logits():
    class Output(dict):
        logits = torch.ones(1, 2)

    recipe = Recipe((), (127.5,) * 3, (2.0,) * 3)
    for given in (dict(logits=torch.ones(1, 2)), type('Output', (), dict(logits=torch.ones(1, 2)))(), torch.ones(1, 2)):
        network = torch.nn.Module()
        network.forward = lambda x, given=given: given
        assert NormalizedNetwork(network, recipe)(torch.zeros(1, 3, 4, 4)).shape == (1, 2)
    network.forward = lambda x: {'scores': 1}
    with pytest.raises(TypeError, match='expected a tensor of logits'):
        NormalizedNetwork(network, recipe)(torch.zeros(1, 3, 4, 4))


PIPELINES = [
    [
        dict(type='ResizeEdge', scale=64, edge='short', backend='pillow', interpolation='bicubic'),
        dict(type='CenterCrop', crop_size=56),
    ],
    [dict(type='ResizeEdge', scale=60, edge='long')],
    [dict(type='Resize', scale=(48, 40)), dict(type='CenterCrop', crop_size=(32, 36))],
    [dict(type='Resize', scale=(70, 50), keep_ratio=True)],
    [dict(type='EfficientNetCenterCrop', crop_size=56, crop_padding=8)],
]


@pytest.mark.parametrize('size', [(97, 130), (131, 96)])
@pytest.mark.parametrize('transforms', PIPELINES)
def test_openmmlab(transforms, size, tmp_path):
    registry = pytest.importorskip('mmpretrain.registry')
    pytest.importorskip('mmpretrain.datasets')
    pipeline = [dict(type='LoadImageFromFile'), *transforms, dict(type='PackInputs')]
    Image.fromarray(picture(size)).save(tmp_path / 'a.png')
    packed = {'img_path': str(tmp_path / 'a.png'), 'gt_label': 0}
    for transform in pipeline:
        packed = registry.TRANSFORMS.build(dict(transform, _scope_='mmpretrain'))(packed)
    view = View.read(Fields(pipeline_view(pipeline), 'view'))
    assert np.abs(view(picture(size)).astype(int) - packed['inputs'].numpy()).max() <= 1


@pytest.mark.parametrize(
    ('pipeline', 'words'),
    [
        ([dict(type='Albu')], 'Albu of the test pipeline'),
        ([dict(type='LoadImageFromFile', color_type='unchanged')], 'LoadImageFromFile'),
        ([dict(type='Resize', scale_factor=0.5)], 'give it scale='),
        ([dict(type='CenterCrop', crop_size=5, auto_pad=True)], 'auto_pad'),
    ],
)
def test_openmmlab_transforms_that_are_not_known(pipeline, words):
    with pytest.raises(ValueError, match=words):
        pipeline_view(pipeline)
