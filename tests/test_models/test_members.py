# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader, Dataset

from mmcascade.models.members.member_configs import model_config, without_downloads
from mmcascade.models.members.members import Member, build_member, check_members, num_classes
from mmcascade.models.members.weights.checkpoints import CheckpointError, UnsafeCheckpointError
from mmcascade.models.members.weights.hashes import sha256
from mmcascade.models.stages.class_outputs import class_output
from tests.test_models.member_kinds import (
    CLASSES,
    images,
    own_predictions,
    preprocessed,
    save_checkpoint,
    tiny_hugging_face,
    tiny_resnet,
    tiny_segmentor,
    tiny_timm,
    tiny_vit,
    unlike_initial,
)

mmpretrain = pytest.importorskip('mmpretrain')
pytestmark = pytest.mark.usefixtures('no_network')


def build(config: dict) -> nn.Module:
    return MODELS.build(config).eval()


@torch.no_grad()
def predictions(member: Member, raw: torch.Tensor) -> torch.Tensor:
    """What the cascade would make of raw pixels."""
    return class_output(member.module, preprocessed(member.module, raw)).logits.softmax(1)


# Every kind: save a checkpoint, load it as a member, reproduce the library ------------------------


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


INLINE = {
    'resnet': lambda folder: tiny_resnet(),
    'vit': lambda folder: tiny_vit(),
    'deit, distilled': lambda folder: tiny_vit('DeiTClsHead', type='DistilledVisionTransformer'),
    'timm': lambda folder: tiny_timm(),
    'hugging face': tiny_hugging_face,
}


@pytest.fixture(params=INLINE)
def config(request, tmp_path) -> dict[str, Any]:
    return INLINE[request.param](tmp_path / 'architecture')


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


# How a model can be given -------------------------------------------------------------------------

CONFIG = """
default_scope = 'mmpretrain'
data_preprocessor = dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0], to_rgb=True)
model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, stem_channels=8, base_channels=8,
                  init_cfg=dict(type='Pretrained', checkpoint='https://host/backbone.pth')),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=5, in_channels=64))
"""
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


@pytest.fixture
def config_file(tmp_path) -> Path:
    (tmp_path / 'net.py').write_text(CONFIG)
    return tmp_path / 'net.py'


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    return save_checkpoint(unlike_initial(build(tiny_resnet())), tmp_path / 'resnet.pth')


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


# No downloads -------------------------------------------------------------------------------------


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


# Weights of the zoo -------------------------------------------------------------------------------


@pytest.fixture
def metafile(tmp_path, config_file, checkpoint) -> Path:
    """A metafile with one model whose weights are a local file, named with its hash."""
    weights = checkpoint.rename(tmp_path / f'net-{sha256(checkpoint)[:8]}.pth')
    path = tmp_path / 'metafile.yml'
    path.write_text(
        yaml.safe_dump(
            dict(
                Models=[
                    dict(Name='net', Config='net.py', Weights=weights.name),
                    dict(Name='url', Config='net.py', Weights=weights.as_uri()),
                ]
            )
        )
    )
    return path


@pytest.mark.parametrize('name', ['net', 'url'])
def test_weights_of_the_zoo(metafile, name):
    member = build_member('a', f'{metafile}::{name}', 'zoo')
    assert member.loaded and member.classes == CLASSES
    expected = torch.load(next(metafile.parent.glob('net-*.pth')))['state_dict']
    assert torch.equal(member.module.head.fc.weight, expected['head.fc.weight'])


def test_weights_of_the_zoo_are_checked(metafile):
    weights = next(metafile.parent.glob('net-*.pth'))
    torch.save({'state_dict': build(tiny_resnet()).state_dict()}, weights)
    with pytest.raises(CheckpointError, match='SHA-256'):
        build_member('a', f'{metafile}::net', 'zoo')


@pytest.mark.parametrize('model', [tiny_resnet(), Path('net.py'), 'net.py'])
def test_zoo_weights_need_a_zoo_name(model, config_file, monkeypatch):
    monkeypatch.chdir(config_file.parent)
    with pytest.raises(ValueError, match="'zoo'|no model 'net.py'"):
        build_member('a', model, 'zoo')


# Strictness ---------------------------------------------------------------------------------------


def test_checkpoint_with_other_keys(tmp_path, checkpoint):
    content = torch.load(checkpoint)
    weights = content['state_dict']
    dropped = [key for key in weights if key.startswith('backbone.layer1')]
    kept = [key for key in dropped if not key.endswith('num_batches_tracked')]
    for key in dropped:
        del weights[key]
    weights['ema_steps'] = torch.ones(1)
    torch.save(content, checkpoint)
    with pytest.raises(CheckpointError) as error:
        build_member('lite', tiny_resnet(), checkpoint)
    message = str(error.value)
    assert "member 'lite'" in message and str(checkpoint) in message
    assert f'{len(kept)} missing from it: {", ".join(kept[:10])} and {len(kept) - 10} ' in message
    assert '1 unknown to the model: ema_steps' in message


def test_checkpoint_with_other_shapes(checkpoint):
    config = tiny_resnet(head=dict(type='LinearClsHead', num_classes=7, in_channels=64))
    with pytest.raises(
        CheckpointError,
        match=r'2 that cannot be copied: head\.fc\.weight of '
        r'shape \[5, 64\] instead of \[7, 64\], head\.fc\.bias of shape \[5\]',
    ):
        build_member('a', config, checkpoint)


@pytest.mark.parametrize('config', [tiny_timm, tiny_vit])
def test_checkpoint_of_another_model(checkpoint, config):
    with pytest.raises(CheckpointError, match=r'missing from it(.|\n)*unknown to the model'):
        build_member('a', config(), checkpoint)


def test_batch_counters_may_be_missing(tmp_path):
    state_dict = build(tiny_resnet()).state_dict()
    for key in [key for key in state_dict if key.endswith('num_batches_tracked')]:
        del state_dict[key]
    torch.save(state_dict, tmp_path / 'a.pth')
    assert build_member('a', tiny_resnet(), tmp_path / 'a.pth').loaded


@pytest.mark.parametrize('config', [tiny_resnet, tiny_timm])
def test_checkpoint_of_a_parallel_wrapper(tmp_path, config):
    original = unlike_initial(build(config()))
    weights = {f'module.{key}': value for key, value in original.state_dict().items()}
    torch.save({'state_dict': weights}, tmp_path / 'a.pth')
    member = build_member('a', config(), tmp_path / 'a.pth')
    assert torch.equal(predictions(member, images()), own_predictions(original, images()))


class Marker:
    def __reduce__(self):
        return print, ('read',)


def test_unsafe_checkpoint_needs_the_opt_in(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save({'state_dict': build(tiny_resnet()).state_dict(), 'meta': Marker()}, path)
    with pytest.raises(UnsafeCheckpointError, match="'print'.*unsafe_checkpoint=True"):
        build_member('a', tiny_resnet(), path)
    with pytest.warns(UserWarning, match='without protection'):
        assert build_member('a', tiny_resnet(), path, unsafe_checkpoint=True).loaded


# Bad input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'name, message',
    [
        ('', "non-empty string without '.'"),
        ('a.b', "member name 'a.b'"),
        (3, 'member name 3'),
        ('keys', 'an attribute of that name'),
        ('half', 'an attribute of that name'),
        ('training', 'an attribute of that name'),
    ],
)
def test_names_that_cannot_be_used(name, message):
    with pytest.raises(ValueError, match=message):
        build_member(name, nn.Identity())


@pytest.mark.parametrize(
    'model, error, message',
    [
        ('resnet18_8xb32', ValueError, 'close ones are resnet18_8xb'),
        ('configs/nowhere.py', FileNotFoundError, "config 'configs/nowhere.py' is not a file"),
        ('nowhere.yaml', FileNotFoundError, "config 'nowhere.yaml' is not a file"),
        (Path('nowhere'), FileNotFoundError, "config 'nowhere' is not a file"),
        (dict(backbone=dict()), ValueError, "the given dict describes no model.*'type'.*backbone"),
        (dict(model=dict(a=1)), ValueError, 'describes no model'),
        (dict(type='Nothing'), ValueError, r"'a' cannot be built.*Nothing(.|\n)*add _scope_="),
        (tiny_resnet(type='ImageClassifierr'), ValueError, r"'a' cannot be built from a dict(.|\n)*rr"),
        (tiny_resnet(depth=18), ValueError, r"'a' cannot be built.*TypeError.*depth"),
    ],
)
def test_models_that_do_not_exist(model, error, message):
    with pytest.raises(error, match=message):
        build_member('a', model)


def test_close_config_files_are_named(config_file):
    with pytest.raises(FileNotFoundError, match=r'close ones are net\.py'):
        build_member('a', str(config_file.with_name('nets.py')))


def test_config_without_model(tmp_path):
    (tmp_path / 'a.py').write_text('x = 1')
    with pytest.raises(ValueError, match=r"a\.py' describes no model.*\['x'\]"):
        build_member('a', str(tmp_path / 'a.py'))


def test_missing_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match='nothing.pth'):
        build_member('a', tiny_resnet(), tmp_path / 'nothing.pth')


def test_other_tasks_are_refused():
    head = dict(type='MultiLabelLinearClsHead', num_classes=5, in_channels=64)
    with pytest.raises(ValueError, match="'tags' cannot .*, MultiLabelLinearClsHead: it scores"):
        build_member('tags', tiny_resnet(head=head))


# Members side by side -----------------------------------------------------------------------------


class Head(nn.Module):
    def __init__(self, count: int | None) -> None:
        super().__init__()
        self.num_classes = count


def member(name: str, count: int | None = None, classes: tuple[str, ...] | None = None) -> Member:
    return Member(name, Head(count), loaded=True, classes=classes)


@pytest.mark.parametrize(
    'members',
    [
        [],
        [member('a', 3)],
        [member('a', 3), member('b', 3)],
        [member('a', 3), member('b', None), member('c', 3)],
        [member('a', 3, ('x', 'y', 'z')), member('b', 3), member('c', 3, ('x', 'y', 'z'))],
        [member('a', None, ('x', 'y')), member('b', 2)],
    ],
)
def test_members_that_fit(members):
    check_members(members)


@pytest.mark.parametrize(
    'members, message',
    [
        ([member('a', 3), member('b', None), member('c', 4)], r"'a' \(3 classes\) and 'c' \(4 classes\)"),
        ([member('a', 3), member('b', None, ('x', 'y'))], r"'a' \(3 classes\) and 'b' \(2 classes\)"),
        (
            [member('a', 3, ('x', 'y', 'z')), member('b', 3), member('c', 3, ('x', 'z', 'y'))],
            "'a' and 'c' name class 1 differently: 'y' and 'z'",
        ),
        (
            [member('a', 3, ('x', 'y')), member('b', 3, ('x', 'y', 'z'))],
            r"'a' \(2 class names\) and 'b' \(3 class names\)",
        ),
    ],
)
def test_members_that_do_not_fit(members, message):
    with pytest.raises(ValueError, match=message):
        check_members(members)


def test_number_of_classes_is_unknown_without_a_head():
    assert num_classes(nn.Linear(2, 3)) is None
    assert member('a', None, ('x', 'y')).num_classes == 2


def test_classes_counted_in_the_backbone():
    config = tiny_resnet(backbone=dict(type='LeNet5', num_classes=5), head=dict(type='ClsHead'))
    del config['neck']
    assert build_member('a', config).num_classes == 5


# Segmentors are built the same way ----------------------------------------------------------------


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
