# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Models that cannot be members are refused for their own reason, before anything is built."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import MODELS
from torch import nn

from mmcascade.models.cascade_classifier import WindowCascadeClassifier
from mmcascade.models.members import members
from mmcascade.models.members.members import build_member
from mmcascade.models.members.other_tasks import other_task_of_config
from tests.test_models.member_kinds import tiny_resnet, tiny_timm, tiny_vit

pytest.importorskip('mmpretrain')


@pytest.fixture
def nothing_is_built(monkeypatch, no_network):
    def refuse(*args):
        raise AssertionError('built')

    monkeypatch.setattr(members, '_build', refuse)


@pytest.mark.parametrize(
    'name, reason',
    [
        ('vit-small-p14_dinov2-pre_3rdparty', 'ImageClassifier has no head'),
        ('vit-tiny-p14_eva02-pre_in21k', 'ImageClassifier has no head'),
        ('swin-t_glip-pre_3rdparty', 'ImageClassifier has no head'),
        ('vit-base-p16_sam-pre_3rdparty_sa1b-1024px', 'ImageClassifier has no head'),
        ('milan_vit-base-p16_16xb256-amp-coslr-400e_in1k', 'MILAN: it is a pre-training model'),
        ('beit_beit-base-p16_8xb256-amp-coslr-300e_in1k', 'BEiT: it is a pre-training model'),
        ('simclr_resnet50_16xb256-coslr-200e_in1k', 'SimCLR: it is a pre-training model'),
        ('resnet50-arcface_inshop', 'ImageToImageRetriever: it ranks by similarity'),
        ('resnet101-csra_1xb16_voc07-448px', 'CSRAClsHead: it scores every class by itself'),
        ('blip-base_3rdparty_caption', 'BlipCaption: it answers in words'),
    ],
)
def test_zoo_models_of_other_tasks(name, reason, nothing_is_built):
    with pytest.raises(ValueError, match=f"member 'a' cannot take part in a cascade, {reason}"):
        build_member('a', name)


def test_depth_is_no_class(nothing_is_built):
    pytest.importorskip('mmseg')
    with pytest.raises(ValueError, match='DepthEstimator: it predicts depth, not classes'):
        build_member('a', dict(_scope_='mmseg', type='DepthEstimator'))


@pytest.mark.parametrize('config', [tiny_resnet(), tiny_vit(), tiny_timm(), tiny_resnet(type='NoSuchModel')])
def test_what_may_be_a_classifier_is_built(config):
    assert other_task_of_config(config) is None


def test_a_class_in_place_of_its_name():
    from mmpretrain.models import ImageClassifier, MoCo

    assert 'no head' in str(other_task_of_config(dict(type=ImageClassifier)))
    assert 'pre-training' in str(other_task_of_config(dict(type=MoCo, head=dict(type='ContrastiveHead'))))


def one_output() -> dict:
    return tiny_resnet(head=dict(type='LinearClsHead', num_classes=1, in_channels=64))


@pytest.mark.parametrize('config', [one_output(), tiny_timm(num_classes=1)])
def test_one_output_is_refused_at_build(config):
    with pytest.raises(ValueError, match='single output.*num_classes=2'):
        build_member('a', config)
    with pytest.raises(ValueError, match='single output.*num_classes=2'):
        WindowCascadeClassifier(dict(a=MODELS.build(ConfigDict(config))), [dict(member='a')])


def test_one_output_of_a_torch_module_is_refused_before_it_runs():
    runs = []
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 1))
    module.register_forward_hook(lambda *_: runs.append(1))
    cascade = WindowCascadeClassifier(dict(a=module), [dict(member='a')])
    with pytest.raises(TypeError, match='softmax over one class is 1'):
        cascade.test_step(dict(inputs=torch.rand(2, 3, 2, 2)))
    assert not runs


def test_the_hint_names_what_a_config_lacks(tmp_path):
    (tmp_path / 'mine.py').write_text('model = dict(type="NoSuchModel")')
    with pytest.raises(ValueError, match="The config has no 'default_scope'; add default_scope='mmpretrain'"):
        build_member('a', tmp_path / 'mine.py')
    with pytest.raises(ValueError, match="The dict has no '_scope_'; add _scope_='mmpretrain'"):
        build_member('a', dict(type='NoSuchModel'))


@pytest.mark.parametrize('takes, given', [(3, 4), (1, 3)])
def test_channels_are_not_blamed_on_the_size(takes, given):
    config = tiny_resnet(
        backbone=dict(type='ResNet', depth=18, stem_channels=8, base_channels=8, in_channels=takes),
        data_preprocessor=dict(mean=[120.0] * takes, std=[60.0] * takes, to_rgb=takes == 3),
    )
    cascade = WindowCascadeClassifier(dict(a=MODELS.build(ConfigDict(config))), [dict(member='a')])
    with pytest.raises(ValueError, match=rf'takes images of {takes} channels?, and these images have {given}'):
        cascade.test_step(dict(inputs=torch.zeros(2, given, 64, 64, dtype=torch.uint8)))
