# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Members from config files, whatever the scope, the base and the style."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmcascade.models.members.member_configs import model_config, without_downloads
from mmcascade.models.members.members import build_member
from tests.test_models.member_kinds import (
    tiny_hugging_face,
    tiny_resnet,
    tiny_timm,
)

mmpretrain = pytest.importorskip('mmpretrain')

pytestmark = pytest.mark.usefixtures('no_network')

LAZY_CONFIG = """
from mmengine.config import read_base
from mmpretrain.models import GlobalAveragePooling, ImageClassifier, LinearClsHead, ResNet

with read_base():
    from .base import *

model = dict(
    type=ImageClassifier,
    backbone=dict(type=ResNet, depth=18, stem_channels=8, base_channels=8),
    neck=dict(type=GlobalAveragePooling),
    head=dict(type=LinearClsHead, num_classes=5, in_channels=64))
"""


@pytest.mark.parametrize('scope', ['mmengine', 'mmpretrain', 'mmseg', None])
@pytest.mark.parametrize(
    'given', [str, Path, Config.fromfile, lambda file: dict(Config.fromfile(file).model, _scope_='mmpretrain')]
)
def test_config_builds_under_any_scope(config_file, checkpoint, given, scope):
    if scope == 'mmseg':
        pytest.importorskip('mmseg.models')
    with DefaultScope.overwrite_default_scope(scope):
        member = build_member('a', given(config_file), checkpoint)
    assert type(member.module).__name__ == 'ImageClassifier'


@pytest.mark.parametrize('given', [str, Config.fromfile])
def test_preprocessor_of_the_top_level(config_file, given):
    member = build_member('a', given(config_file))
    assert member.module.data_preprocessor.mean.flatten().tolist() == [1, 2, 3]
    assert not member.loaded and member.classes is None
    assert member.num_classes == 5


def test_the_models_own_preprocessor_goes_first(config_file):
    config = Config.fromfile(config_file)
    config.model.data_preprocessor = dict(mean=[7.0] * 3, std=[8.0] * 3)
    member = build_member('a', config)
    assert member.module.data_preprocessor.mean.flatten().tolist() == [7, 7, 7]


def test_new_style_config(tmp_path, checkpoint):
    (tmp_path / 'base.py').write_text('data_preprocessor = dict(mean=[1.0] * 3, std=[2.0] * 3)\n')
    (tmp_path / 'lazy.py').write_text(LAZY_CONFIG)
    member = build_member('a', str(tmp_path / 'lazy.py'), checkpoint)
    assert member.module.data_preprocessor.mean.flatten().tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    'content, message', [('model = dict(', 'SyntaxError'), ('1 / 0', 'ZeroDivisionError'), ('_base_ = "x.py"', 'x.py')]
)
def test_a_broken_config_of_a_member_is_named(tmp_path, content, message):
    path = tmp_path / 'broken.py'
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"config '{path}' cannot be read: .*{message}"):
        model_config(str(path))


def test_library_config_as_base(tmp_path):
    (tmp_path / 'mine.py').write_text(
        "_base_ = ['mmpretrain::resnet/resnet18_8xb32_in1k.py']\nmodel = dict(head=dict(num_classes=5, topk=(1,)))\n"
    )
    assert build_member('a', str(tmp_path / 'mine.py')).num_classes == 5


def test_library_config():
    member = build_member('a', 'mmpretrain::resnet/resnet18_8xb32_in1k.py')
    assert member.num_classes == 1000
    assert member.module.data_preprocessor.mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])


def test_type_with_a_prefix_scopes_its_parts():
    config = tiny_resnet(type='mmpretrain.ImageClassifier')
    del config['_scope_']
    with DefaultScope.overwrite_default_scope('mmengine'):
        assert build_member('a', config).num_classes == 5


def test_the_given_dict_stays_as_it_is():
    config = tiny_resnet(init_cfg=dict(type='Pretrained', checkpoint='x'))
    build_member('a', config)
    assert config == tiny_resnet(init_cfg=dict(type='Pretrained', checkpoint='x'))


def test_nothing_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.setenv('HF_HUB_OFFLINE', '0')
    for config in (
        tiny_timm(pretrained=True),
        tiny_resnet(pretrained='https://host/a.pth'),
        tiny_hugging_face(tmp_path, pretrained=True),
    ):
        assert not build_member('a', config).loaded


def test_pretrained_of_every_depth_is_cleared():
    pretrained = dict(type='Pretrained', checkpoint='x')
    config = dict(
        type='A',
        pretrained='torchvision://resnet50',
        init_cfg=pretrained,
        parts=[dict(type='B', pretrained=True, init_cfg=[pretrained]), 'text'],
        pair=(dict(init_cfg=pretrained, keep=1), 2),
        backbone=dict(type='mmseg.TIMMBackbone', model_name='resnet18'),
    )
    assert without_downloads(config) == dict(
        type='A',
        pretrained=None,
        parts=[dict(type='B', pretrained=False), 'text'],
        pair=(dict(keep=1), 2),
        backbone=dict(type='mmseg.TIMMBackbone', model_name='resnet18', pretrained=False),
    )
