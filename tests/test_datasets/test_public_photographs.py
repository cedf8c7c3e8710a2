# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""CIFAR-10's photographs and the subset of ImageNet, from clones of public repositories to what configs read."""

from __future__ import annotations

import hashlib
import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mmcascade._system.repositories import RepositoryError, check_out
from mmcascade.datasets.public import cifar10, imagenet_subset
from mmcascade.models.members.cifar_resnet import CifarResNet, as_classifier
from tests.support import ROOT

pytest.importorskip('mmpretrain')


def run(name: str, *args: object) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', [name, *map(str, args)])
        runpy.run_path(str(ROOT / 'tools' / 'dataset_converters' / f'{name}.py'), run_name='__main__')


def git(folder: Path, *words: str) -> None:
    subprocess.run(['git', '-C', str(folder), *words], check=True, capture_output=True)  # noqa: S603, S607


def commit(folder: Path) -> None:
    git(folder, 'init', '--quiet')
    git(folder, 'add', '.')
    git(folder, '-c', 'user.name=a', '-c', 'user.email=a@b.c', 'commit', '--quiet', '-m', 'all')


@pytest.fixture
def pictures(tmp_path, monkeypatch) -> Path:
    """A clone with two test pictures of each class and three to train on."""
    counts = {'test': 2, 'train': 3}
    monkeypatch.setattr(cifar10, 'PER_CLASS', counts)
    for label, name in enumerate(cifar10.CLASSES):
        for part, count in counts.items():
            folder = tmp_path / 'pictures' / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                cv2.imwrite(str(folder / f'{number:04}.jpg'), np.full((32, 32, 3), 20 * label + number, np.uint8))
    return tmp_path / 'pictures'


@pytest.fixture
def networks(tmp_path, monkeypatch) -> Path:
    """A clone with networks as the authors saved them."""
    folder = tmp_path / 'networks' / 'pretrained_models'
    folder.mkdir(parents=True)
    digests = {}
    for layers in cifar10.SHA256:
        state = published(layers)
        torch.save({'state_dict': state, 'best_prec1': 91.0}, folder / 'new')
        digests[layers] = hashlib.sha256((folder / 'new').read_bytes()).hexdigest()
        (folder / 'new').rename(folder / f'resnet{layers}-{digests[layers][:8]}.th')
    monkeypatch.setattr(cifar10, 'SHA256', digests)
    return folder.parent


def published(layers: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(layers)
    backbone = {f'module.{name}': value for name, value in CifarResNet(layers).state_dict().items()}
    return {**backbone, 'module.linear.weight': torch.randn(10, 64), 'module.linear.bias': torch.randn(10)}


def test_cifar10_becomes_a_folder_per_class_and_members_of_the_configs(
    pictures, networks, tmp_path, monkeypatch, capsys
):
    out = tmp_path / 'data' / 'cifar10'
    run('cifar10', out, '--images', pictures, '--networks', networks)
    run('cifar10', out, '--images', tmp_path / 'nowhere', '--networks', networks)  # the pictures are kept
    assert '20 photographs' in capsys.readouterr().out
    assert not (out / 'train').exists()
    run('cifar10', out, '--images', pictures, '--networks', networks, '--train')
    assert '30 photographs' in capsys.readouterr().out
    for file in pictures.rglob('*.jpg'):
        assert (out / file.relative_to(pictures)).read_bytes() == file.read_bytes()

    from mmengine.config import Config
    from mmengine.registry import DATASETS, init_default_scope

    from mmcascade.models.members.members import build_member

    monkeypatch.chdir(ROOT)
    cfg = Config.fromfile('configs/cifar10/resnet32.py')
    init_default_scope(cfg.default_scope)
    cfg.photographs.data_root = str(out)
    dataset = DATASETS.build(cfg.photographs)
    assert dataset.metainfo['classes'] == cifar10.CLASSES and len(dataset) == 20
    assert dataset[19]['data_samples'].gt_label == 9
    member = build_member('a', 'configs/cifar10/resnet32.py', str(out / 'networks' / 'resnet32.pth')).module
    assert torch.equal(member.head.fc.weight, published(32)['module.linear.weight'])
    assert torch.equal(member.backbone.layer3[4].bn2.bias, published(32)['module.layer3.4.bn2.bias'])


def test_the_network_is_that_of_the_authors():
    """Against the published code written out once more: shortcuts of option A, mean over the last maps."""
    torch.manual_seed(0)
    network = CifarResNet(20).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight)
            torch.nn.init.normal_(module.running_mean, std=0.1)
    weights = network.state_dict()

    def norm(x, name):
        parts = [weights[f'{name}.{part}'] for part in ('running_mean', 'running_var', 'weight', 'bias')]
        return torch.nn.functional.batch_norm(x, *parts)

    x = images = torch.randn(2, 3, 32, 32)
    x = norm(torch.conv2d(x, weights['conv1.weight'], padding=1), 'bn1').relu()
    for stage in (1, 2, 3):
        for block in range(3):
            stride, name = 2 if stage > 1 and block == 0 else 1, f'layer{stage}.{block}'
            out = torch.conv2d(x, weights[f'{name}.conv1.weight'], stride=stride, padding=1)
            out = torch.conv2d(norm(out, f'{name}.bn1').relu(), weights[f'{name}.conv2.weight'], padding=1)
            short = x[:, :, ::stride, ::stride]
            if short.shape[1] != out.shape[1]:
                zeros = torch.zeros_like(short[:, : short.shape[1] // 2])
                short = torch.cat([zeros, short, zeros], 1)
            x = (norm(out, f'{name}.bn2') + short).relu()
    torch.testing.assert_close(network(images)[0], x)


@pytest.mark.parametrize('depth', [2, 18, 21])
def test_a_depth_that_no_network_has(depth):
    with pytest.raises(ValueError, match='6n \\+ 2 layers'):
        CifarResNet(depth)


def test_names_of_the_classifier():
    names = as_classifier(published(20))
    assert len(names) == len(published(20)) and {name.split('.')[0] for name in names} == {'backbone', 'head'}


def test_missing_pictures_and_other_networks_are_named(pictures, networks, tmp_path):
    (pictures / 'test' / 'cat' / '0001.jpg').unlink()
    with pytest.raises(cifar10.SourceError, match='cat holds 1 pictures'):
        cifar10.fetch_images(tmp_path / 'out', pictures)
    assert not (tmp_path / 'out').exists()
    file = next((networks / 'pretrained_models').glob('resnet44*'))
    file.write_bytes(file.read_bytes() + b' ')
    with pytest.raises(cifar10.SourceError, match='another SHA-256'):
        cifar10.fetch_networks(tmp_path, networks)
    file.unlink()
    with pytest.raises(cifar10.SourceError, match='there is no .*resnet44'):
        cifar10.fetch_networks(tmp_path, networks)


def test_clones_where_no_folder_is_given(pictures, networks, tmp_path, monkeypatch):
    for folder, name in ((pictures, 'IMAGES'), (networks, 'NETWORKS')):
        commit(folder)
        monkeypatch.setattr(cifar10, name, folder.as_uri())
    said: list[str] = []
    cifar10.fetch_images(tmp_path / 'out', log=said.append)
    assert len(list((tmp_path / 'out').rglob('*.jpg'))) == 20
    found = cifar10.fetch_networks(tmp_path / 'scratch', log=said.append)
    assert list(found) == [20, 32, 44, 56] and all(file.is_file() for file in found.values())
    assert len(said) == 2


def test_a_repository_that_is_not_there(tmp_path):
    with pytest.raises(RepositoryError, match='git failed: fatal'):
        check_out((tmp_path / 'nothing').as_uri(), ['test'], tmp_path / 'new')


@pytest.fixture
def subset(tmp_path) -> Path:
    """A clone with ten photographs, each of one grey."""
    folder = tmp_path / 'subset' / imagenet_subset.FOLDER
    (folder / 'data').mkdir(parents=True)
    for position in range(10):
        cv2.imwrite(str(folder / 'data' / f'{position}.JPEG'), np.full((8, 8, 3), position, np.uint8))
    lines = [f'./data/{position}.JPEG, {100 + position}\n' for position in range(10)]
    (folder / 'dataset.txt').write_text(''.join(lines))
    return folder.parent


def test_even_positions_only_unless_asked(subset, tmp_path, capsys):
    run('imagenet_subset', tmp_path / 'out', '--source', subset)
    assert '5 photographs (3 to calibrate on, 2 to test on)' in capsys.readouterr().out
    even = tmp_path / 'out' / 'even'
    assert [folder.name for folder in (tmp_path / 'out').iterdir()] == ['even']
    assert sorted(file.name for file in (even / 'images').iterdir()) == [f'{k}.JPEG' for k in (0, 2, 4, 6, 8)]
    assert (even / 'all.txt').read_text().splitlines() == [f'{k}.JPEG {100 + k}' for k in (0, 2, 4, 6, 8)]
    assert (even / 'calibration.txt').read_text().split()[::2] == ['0.JPEG', '4.JPEG', '8.JPEG']
    assert (even / 'test.txt').read_text().split()[::2] == ['2.JPEG', '6.JPEG']
    assert imagenet_subset.write_subset(tmp_path / 'out', 'odd', subset)['all'] == 5
    assert imagenet_subset.write_subset(tmp_path / 'out', 'all', subset)['all'] == 10


def test_a_clone_that_lacks_photographs_leaves_what_was_there(subset, tmp_path):
    imagenet_subset.write_subset(tmp_path / 'out', 'even', subset)
    (subset / imagenet_subset.FOLDER / 'data' / '4.JPEG').unlink()
    with pytest.raises(imagenet_subset.SourceError, match='1 of 5 photographs are missing, such as .*4.JPEG'):
        imagenet_subset.write_subset(tmp_path / 'out', 'even', subset)
    assert (tmp_path / 'out' / 'even' / 'images' / '4.JPEG').is_file()
    (subset / imagenet_subset.FOLDER / 'dataset.txt').write_text('a, b\n')
    with pytest.raises(imagenet_subset.SourceError, match="line 1 of .* is 'a, b'"):
        imagenet_subset.write_subset(tmp_path / 'out', 'even', subset)
    with pytest.raises(imagenet_subset.SourceError, match='there is no .*dataset.txt'):
        imagenet_subset.write_subset(tmp_path / 'out', 'even', tmp_path)


def test_the_subset_is_cloned_where_no_folder_is_given(subset, tmp_path, monkeypatch):
    commit(subset)
    monkeypatch.setattr(imagenet_subset, 'REPOSITORY', subset.as_uri())
    assert imagenet_subset.write_subset(tmp_path / 'out', log=lambda line: None)['all'] == 5
