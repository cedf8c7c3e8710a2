# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Members by a string of another library."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision

from mmcascade.models.members.members import build_member
from mmcascade.models.members.networks.named_network import head_size
from mmcascade.models.members.weights.checkpoints import CheckpointError

TIMM = 'timm/mobilenetv3_small_050'


def raw_images(size=64, count=3):
    return torch.randint(0, 256, (count, 3, size, size), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def saved(network, path):
    network.eval()
    torch.save(network.state_dict(), path)
    return path


@pytest.mark.parametrize('classes', [1000, 7])
def test_timm_with_a_checkpoint_of_any_head(tmp_path, classes):
    network = timm.create_model('mobilenetv3_small_050', num_classes=classes)
    member = build_member('a', TIMM, saved(network, tmp_path / 'a.pth'))
    config = timm.data.resolve_model_data_config(network)
    mean, std = (torch.tensor(config[key]).view(3, 1, 1) for key in ('mean', 'std'))
    images = raw_images()
    with torch.no_grad():
        torch.testing.assert_close(member.module(images), network((images / 255 - mean) / std), rtol=1e-4, atol=1e-5)
    assert member.loaded and member.num_classes == classes and not member.module.training
    assert member.recipe.view['steps'][0]['size'] == 256
    assert (member.classes is None) == (classes == 7)


def test_torchvision_with_a_checkpoint(tmp_path):
    network = torchvision.models.get_model('shufflenet_v2_x0_5', num_classes=5)
    member = build_member('a', 'torchvision/shufflenet_v2_x0_5', saved(network, tmp_path / 'a.pth'))
    images = raw_images()
    preset = torchvision.models.get_model_weights('shufflenet_v2_x0_5').DEFAULT.transforms()
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (preset.mean, preset.std))
    with torch.no_grad():
        torch.testing.assert_close(member.module(images), network((images / 255 - mean) / std), rtol=1e-4, atol=1e-5)
    assert member.num_classes == 5 and member.classes is None


def test_a_folder_of_huggingface_brings_its_weights(tmp_path):
    transformers = pytest.importorskip('transformers')
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8,
        num_labels=3, id2label={0: 'cat', 1: 'dog', 2: 'fox'}, label2id={'cat': 0, 'dog': 1, 'fox': 2},
    )  # fmt: skip
    network = transformers.ViTForImageClassification(config).eval()
    network.save_pretrained(tmp_path)
    processor = transformers.ViTImageProcessor(size={'height': 32, 'width': 32})
    with pytest.raises(ValueError, match=r'preprocessor_config\.json'):
        build_member('a', tmp_path)
    processor.save_pretrained(tmp_path)
    for reference in (tmp_path, str(tmp_path)):
        member = build_member('a', reference)
        assert member.loaded and member.classes == ('cat', 'dog', 'fox')
    images = raw_images(32)
    with torch.no_grad():
        torch.testing.assert_close(member.module(images), network(images / 127.5 - 1).logits, rtol=1e-4, atol=1e-5)


def test_without_weights_it_counts_as_not_loaded():
    assert not build_member('a', TIMM).loaded


@pytest.mark.parametrize(
    ('reference', 'words'),
    [
        ('timm/mobilnetv3_small_050', 'close names are .*mobilenetv3_small_050'),
        ('torchvision/resnet5', 'close names are .*resnet50'),
        ('torchvision/fcn_resnet50', 'no classifier'),
        ('timm/', "no network ''"),
    ],
)
def test_names_that_are_not_known(reference, words):
    with pytest.raises(ValueError, match=words):
        build_member('a', reference)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    path = saved(timm.create_model('mobilenetv3_small_075'), tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match="member 'a'"):
        build_member('a', TIMM, path)


@pytest.mark.parametrize('library, create', [(timm, 'create_model'), (torchvision.models, 'get_model')])
def test_weights_that_cannot_be_had_say_what_else_to_write(monkeypatch, library, create):
    def offline(*args, **options):
        raise OSError('no connection')

    monkeypatch.setattr(library, create, offline)
    name = 'timm/resnet18' if library is timm else 'torchvision/resnet18'
    with pytest.raises(
        ValueError, match=f"'{name}' cannot be made: no connection; .* write the path of their checkpoint"
    ):
        build_member('a', name, 'zoo')


def test_head_size():
    network = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Linear(6, 3))
    given = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Linear(6, 9)).state_dict()
    assert head_size(network, given, 3) == 9
    assert head_size(network, network.state_dict(), 3) is None
    assert head_size(network, torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Linear(5, 3)).state_dict(), 3) is None
