# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Every shipped config: it parses, its model builds, and its views are what its members expect."""

from __future__ import annotations

import ast
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose, default_collate
from mmengine.registry import DefaultScope

from mmcascade.__main__ import find_configs
from mmcascade.models.members.member_configs import model_config
from mmcascade.models.members.zoo import find_config, find_weights
from mmcascade.registry import MODELS
from tests.support import ROOT

# These have tests of their own.
OTHERS = (
    *('quickstart', 'quickstart_seg', 'ood', 'camvid', 'cityscapes', 'multi_exit', 'cifar10', 'imagenet_subset'),
    *('clips', 'ade20k', 'pascal_voc', 'pascal_context', 'coco_stuff', 'loveda', 'potsdam'),
)
CONFIGS = [path for path in find_configs(ROOT) if path.parent.name not in OTHERS]
ZOO = 'zoo'
# Written out in its config, for recipes whose weights the zoo does not have.
RESNET50 = Config.fromfile(ROOT / 'configs/selective/resnet50-mixup-cutmix_window_in1k.py').resnet50


@pytest.fixture(params=CONFIGS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


@pytest.fixture
def config(path) -> Config:
    return Config.fromfile(path)


@pytest.fixture
def library_scope():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


@pytest.fixture(scope='module')
def photo(tmp_path_factory) -> str:
    """A smooth image that is no square, so that resizing and cropping both matter."""
    noise = np.random.default_rng(0).uniform(0, 255, (12, 16, 3))
    image = cv2.resize(noise, (500, 375), interpolation=cv2.INTER_CUBIC).clip(0, 255)
    file = str(tmp_path_factory.mktemp('photo') / 'photo.png')
    cv2.imwrite(file, image.astype(np.uint8))
    return file


def innermost(dataset: ConfigDict) -> ConfigDict:
    """The data set in its wrappers."""
    return innermost(dataset.dataset) if 'dataset' in dataset else dataset


def run_pipeline(pipeline: list[dict], photo: str) -> list[torch.Tensor]:
    """The views of one image, each ``(3, H, W)``."""
    batch = default_collate([Compose(pipeline)(dict(img_path=photo, gt_label=0, sample_idx=0))])
    inputs = batch['inputs']
    return [view[0] for view in (inputs if isinstance(inputs, list) else [inputs])]


def expected_input(member: ConfigDict) -> tuple[list[dict], dict]:
    """The test pipeline and the data preprocessor with which the member's weights were made."""
    if member.model == RESNET50:
        return expected_input(ConfigDict(model='resnet50_8xb32_in1k'))
    if isinstance(member.model, str):
        config = Config.fromfile(find_config(member.model))
        return config.test_dataloader.dataset.pipeline, config.data_preprocessor
    timm = pytest.importorskip('timm')
    settings = timm.data.resolve_model_data_config(timm.create_model(member.model.model_name, pretrained=False))
    height, width = settings['input_size'][1:]
    assert height == width and settings['crop_mode'] == 'center'
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(
            type='ResizeEdge',
            scale=int(height / settings['crop_pct']),
            edge='short',
            backend='pillow',
            interpolation=settings['interpolation'],
        ),
        dict(type='CenterCrop', crop_size=height),
        dict(type='PackInputs'),
    ]
    scaled = {key: [255 * value for value in settings[key]] for key in ('mean', 'std')}
    return pipeline, dict(to_rgb=True, **scaled)


def test_there_are_configs():
    assert len(CONFIGS) >= 10


def test_runs_as_a_whole_experiment(config):
    assert config.default_scope == 'mmpretrain'
    for part in ('test', 'val'):
        types = [metric['type'] for metric in config[f'{part}_evaluator']]
        assert types == ['Accuracy', 'mmcascade.SelectiveRisk', 'mmcascade.CascadeCost']
        assert config[f'{part}_cfg'] == {}
        assert innermost(config[f'{part}_dataloader'].dataset).type == 'ImageNet'
    assert {stage.member for stage in config.model.stages} == set(config.model.members)


def test_survives_being_written_and_read(config, tmp_path):
    config.dump(tmp_path / 'dumped.py')
    assert Config.fromfile(tmp_path / 'dumped.py').to_dict() == config.to_dict()


def test_model_builds_without_weights(config, library_scope):
    for member in config.model.members.values():
        member.checkpoint = None
    model = MODELS.build(config.model)
    assert len(model.stages) == len(config.model.stages)
    with pytest.raises(RuntimeError, match='no weights were loaded'):
        model.test_step(dict(inputs=[torch.zeros(1, 3, 32, 32)], data_samples=None))


def test_every_member_sees_what_it_was_tested_with(config, photo, library_scope):
    views = run_pipeline(innermost(config.test_dataloader.dataset).pipeline, photo)
    assert {stage.view for stage in config.model.stages} == set(range(len(views)))
    for name, member in config.model.members.items():
        stages = [stage for stage in config.model.stages if stage.member == name]
        pipeline, preprocessor = expected_input(member)
        (expected,) = run_pipeline(pipeline, photo)
        assert all(views[stage.view].dtype == torch.uint8 for stage in stages)
        # The other stages of a self-cascade see what they see on purpose.
        assert any(torch.equal(views[stage.view], expected) for stage in stages if 'resize' not in stage), name
        own = model_config(member.model)['data_preprocessor']
        assert own['to_rgb'] == preprocessor['to_rgb']
        for key in ('mean', 'std'):
            assert own[key] == pytest.approx(preprocessor[key]), name


def test_checkpoints_exist_or_are_told_apart(config):
    """'zoo' is said only where the zoo has weights; anything else is a path that users fill."""
    for member in config.model.members.values():
        if member.checkpoint == ZOO:
            assert find_weights(member.model).startswith('https://')
        else:
            assert member.checkpoint.endswith('.pth')


def test_opens_with_a_comment_that_says_what_it_is(path):
    source = path.read_text()
    assert source.startswith('# ')
    assert ast.parse(source)


def test_readme_lists_exactly_the_configs():
    for folder in {path.parent for path in CONFIGS}:
        text = (folder / 'README.md').read_text()
        listed = {word.strip('`') for word in text.split() if word.endswith('.py`')}
        assert listed == {path.name for path in CONFIGS if path.parent == folder}
