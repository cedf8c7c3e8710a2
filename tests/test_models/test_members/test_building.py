# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Members are built from inline configs, zoo names, and what was trained."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader, Dataset

from mmcascade.models.members.member_configs import model_config
from mmcascade.models.members.members import build_member
from tests.test_models.member_kinds import (
    CLASSES,
    INLINE,
    build,
    images,
    own_predictions,
    predictions,
    save_checkpoint,
    tiny_resnet,
    tiny_segmentor,
    tiny_timm,
    unlike_initial,
)

mmpretrain = pytest.importorskip('mmpretrain')

pytestmark = pytest.mark.usefixtures('no_network')


@pytest.mark.parametrize(
    'name, size',
    [
        ('resnet18_8xb32_in1k', 64),
        ('mobilenet-v2_8xb32_in1k', 64),
        ('efficientnet-b0_3rdparty_8xb32_in1k', 64),
        ('convnext-v2-atto_3rdparty-fcmae_in1k', 64),
        ('deit-tiny_4xb256_in1k', 224),
        ('levit-128s_3rdparty_in1k', 224),
    ],
)
def test_zoo_models(tmp_path, name, size):
    names = [f'class {index}' for index in range(1000)]
    original = unlike_initial(build_member('a', name).module, size)
    path = save_checkpoint(original, tmp_path / 'a.pth', names)
    member = build_member('a', name, path)

    library = mmpretrain.get_model(name, pretrained=str(path))
    raw = images(2, size)
    expected = own_predictions(library, raw)
    assert torch.equal(predictions(member, raw), expected)
    assert not torch.equal(expected[0], expected[1])
    assert member.loaded and not member.module.training
    assert member.classes == tuple(names) and member.num_classes == 1000


def test_inline_models(tmp_path, config):
    original = unlike_initial(build(config))
    member = build_member('a', config, save_checkpoint(original, tmp_path / 'a.pth'))
    assert torch.equal(predictions(member, images()), own_predictions(original, images()))
    assert member.loaded and not member.module.training
    assert member.classes == CLASSES and member.num_classes == len(CLASSES)


def test_weights_of_the_network_inside(tmp_path):
    """What timm itself saves."""
    original = unlike_initial(build(tiny_timm()))
    torch.save(original.model.state_dict(), tmp_path / 'timm.pth')
    member = build_member('a', tiny_timm(), tmp_path / 'timm.pth')
    assert torch.equal(predictions(member, images()), own_predictions(original, images()))
    assert member.classes is None


class Photos(Dataset):
    metainfo = dict(classes=CLASSES)

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict[str, Any]:
        label = mmpretrain.structures.DataSample().set_gt_label(index)
        return dict(inputs=images(4)[index], data_samples=label)


@pytest.mark.parametrize('kind', ['resnet', 'timm', 'hugging face'])
def test_checkpoint_of_a_real_training(tmp_path, kind):
    config = INLINE[kind](tmp_path / 'architecture')
    loader = DataLoader(
        Photos(),
        batch_size=4,
        collate_fn=lambda samples: dict(
            inputs=[s['inputs'] for s in samples], data_samples=[s['data_samples'] for s in samples]
        ),
    )
    runner = Runner(
        model=config,
        work_dir=str(tmp_path),
        experiment_name=tmp_path.name,
        log_level='ERROR',
        default_scope='mmpretrain',
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
        param_scheduler=dict(type='OneCycleLR', eta_max=0.1, total_steps=2, by_epoch=False),
    )
    runner.train()
    member = build_member('a', config, tmp_path / 'epoch_1.pth')
    expected = own_predictions(runner.model.eval(), images(4))
    assert torch.equal(predictions(member, images(4)), expected)
    assert member.classes == CLASSES


def test_a_module_counts_as_loaded(checkpoint):
    module = build(tiny_resnet()).train()
    member = build_member('a', module)
    assert member.module is module and member.loaded and not module.training
    assert member.classes is None
    build_member('a', module, checkpoint, classes=['1', '2', '3', '4', '5'])
    assert torch.equal(module.head.fc.bias, torch.load(checkpoint)['state_dict']['head.fc.bias'])


def test_given_class_names_replace_those_of_the_checkpoint(checkpoint):
    names = ('1', '2', '3', '4', '5')
    assert build_member('a', tiny_resnet(), checkpoint, classes=names).classes == names


@pytest.mark.parametrize('scope', ['mmpretrain', 'mmengine'])
def test_segmentor(tmp_path, scope):
    pytest.importorskip('mmseg.models')
    with DefaultScope.overwrite_default_scope(scope):
        original = MODELS.build(tiny_segmentor(pretrained=None))
        path = save_checkpoint(original, tmp_path / 'a.pth', ('road', 'sky', 'tree'))
        member = build_member('a', tiny_segmentor(), path)
    assert member.num_classes == 3 and member.classes == ('road', 'sky', 'tree')
    assert not any(isinstance(part, nn.SyncBatchNorm) for part in member.module.modules())
    weights = member.module.state_dict()
    assert all(torch.equal(weights[key], value) for key, value in original.state_dict().items())
    with torch.no_grad():
        assert member.module(torch.rand(1, 3, 64, 64)).shape[1] == 3


def test_segmentor_of_a_library_base(tmp_path):
    pytest.importorskip('mmseg')
    (tmp_path / 'mine.py').write_text("_base_ = ['mmseg::bisenetv2/bisenetv2_fcn_4xb4-160k_cityscapes-1024x1024.py']\n")
    config = model_config(str(tmp_path / 'mine.py'))
    assert config['_scope_'] == 'mmseg'
    assert config['data_preprocessor']['type'] == 'SegDataPreProcessor'
