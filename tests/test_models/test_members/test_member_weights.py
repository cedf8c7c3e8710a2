# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Weights of members: those of the zoo, and checkpoints that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from mmcascade.models.members.members import build_member
from mmcascade.models.members.weights.checkpoints import CheckpointError, UnsafeCheckpointError
from mmcascade.models.members.weights.hashes import sha256
from tests.test_models.member_kinds import (
    CLASSES,
    build,
    images,
    own_predictions,
    predictions,
    tiny_resnet,
    tiny_timm,
    tiny_vit,
    unlike_initial,
)

mmpretrain = pytest.importorskip('mmpretrain')

pytestmark = pytest.mark.usefixtures('no_network')


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


def test_missing_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match='nothing.pth'):
        build_member('a', tiny_resnet(), tmp_path / 'nothing.pth')
