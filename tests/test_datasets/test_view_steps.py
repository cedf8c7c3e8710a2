# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a member of another library sees in a test is what its library, and a bundle, would show it."""

from __future__ import annotations

import mmcv
import numpy as np
import pytest
import torch
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from PIL import Image

from mmcascade.models.members.recipes.openmmlab_recipe import pipeline_view
from mmcascade.models.members.recipes.timm_recipe import timm_recipe
from mmcascade.registry import TRANSFORMS
from mmcascade.runtime.fields import Fields
from mmcascade.runtime.preprocessing.images import read_image
from mmcascade.runtime.preprocessing.views import View

STEPS = [
    dict(op='resize_edge', edge='short', size=30, library='pillow', method='bicubic'),
    dict(op='center_crop', height=24, width=24, fill=[0, 0, 0]),
]


@pytest.fixture
def photo(tmp_path):
    coarse = np.random.default_rng(0).integers(256, size=(6, 9, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((90, 61), Image.Resampling.BICUBIC).save(tmp_path / 'photo.png')
    return tmp_path / 'photo.png'


def seen(photo, *steps, loading=None):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        pipeline = Compose([loading or dict(type='LoadImageFromFile'), *steps, dict(type='PackInputs')])
        return pipeline(dict(img_path=str(photo)))['inputs']


@pytest.mark.parametrize('channels', ['rgb', 'bgr', 'grey'])
def test_a_pipeline_gives_what_a_bundle_gives(photo, channels):
    found = seen(photo, dict(type='mmcascade.ViewSteps', channels=channels, steps=STEPS))
    view = View.read(Fields(dict(channels=channels, steps=STEPS), 'view'))
    assert torch.equal(found, torch.from_numpy(view(read_image(photo))))


def test_it_is_what_timm_does(photo):
    from timm.data import create_transform

    config = dict(input_size=(3, 24, 24), interpolation='bicubic', crop_pct=0.8, mean=(0.5,) * 3, std=(0.25,) * 3)
    recipe = timm_recipe(config)
    found = seen(photo, dict(type='mmcascade.ViewSteps', **recipe.view)).float()
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (recipe.mean, recipe.std))
    expected = create_transform(**config, is_training=False)(Image.open(photo).convert('RGB'))
    assert (found - mean).div(std).sub(expected).abs().max() < 1e-5


def test_grey_files_that_are_loaded_grey(tmp_path):
    mmcv.imwrite(np.arange(48, dtype=np.uint8).reshape(6, 8), str(tmp_path / 'grey.png'))
    loading = dict(type='LoadImageFromFile', color_type='grayscale')
    found = seen(tmp_path / 'grey.png', dict(type='mmcascade.ViewSteps', channels='grey', steps=[]), loading=loading)
    assert found.shape == (1, 6, 8) and found.flatten().tolist() == list(range(48))


def test_an_export_knows_it():
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='mmcascade.ViewSteps', channels='rgb', steps=STEPS),
        dict(type='PackInputs'),
    ]
    assert pipeline_view(pipeline) == dict(channels='rgb', steps=STEPS)


def test_a_wrong_step_is_named_when_it_is_built():
    with pytest.raises(ValueError, match="ViewSteps: steps.0.: op is one of .*got 'resiez'"):
        TRANSFORMS.build(dict(type='ViewSteps', channels='rgb', steps=[dict(op='resiez')]))
