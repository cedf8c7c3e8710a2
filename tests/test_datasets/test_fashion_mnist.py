# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import gzip
import hashlib
import os
import shutil
from pathlib import Path

import pytest
from mmengine.registry import DATASETS, DefaultScope

from mmcascade.datasets.quickstart import fashion_mnist
from mmcascade.datasets.quickstart.fashion_mnist import (
    DEBIAN_FOLDER,
    SHA256,
    SourceError,
    debian_package,
    fetch_fashion_mnist,
)
from tests.support.projects.tiny_fashion_mnist import tiny_files

FILES = tiny_files(train=30, test=20)


@pytest.fixture(autouse=True)
def tiny_digests(monkeypatch):
    """The tiny files are taken for the true ones, and nothing reaches the network."""
    for name, content in FILES.items():
        monkeypatch.setitem(SHA256, name, hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(fashion_mnist, 'DEBIAN_FOLDER', Path('no/such/folder'))
    monkeypatch.setattr(fashion_mnist, 'debian_package', unavailable('no apt here'))
    monkeypatch.setattr(fashion_mnist, 'mmpretrain_download', unavailable('no network here'))


def unavailable(reason):
    def source(scratch):
        raise SourceError(reason)

    return source


def put(folder: Path, packed: bool = True, files=FILES) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if packed:
            (folder / f'{name}.gz').write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def silent(line):
    pass


def test_names_are_those_that_mmpretrain_reads():
    mnist = pytest.importorskip('mmpretrain.datasets').FashionMNIST
    assert [f'{name}.gz' for name in SHA256] == [name for name, _ in (*mnist.train_list, *mnist.test_list)]


@pytest.mark.parametrize('packed', [True, False])
def test_takes_the_files_of_a_folder(tmp_path, packed):
    source = put(tmp_path / 'source', packed)
    fetch_fashion_mnist(tmp_path / 'new' / 'out', source, silent)
    assert content(tmp_path / 'new' / 'out') == FILES


def test_unpacks_what_lies_in_the_folder_itself(tmp_path):
    put(tmp_path)
    fetch_fashion_mnist(tmp_path, log=silent)
    assert {name: content(tmp_path)[name] for name in FILES} == FILES


def test_mmpretrain_reads_them(tmp_path):
    fetch_fashion_mnist(tmp_path / 'out', put(tmp_path / 'source'), silent)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        for options, size in ((dict(split='train'), 30), (dict(split='test', test_mode=True), 20)):
            dataset = DATASETS.build(
                dict(type='FashionMNIST', data_root=str(tmp_path / 'out'), download=False, **options)
            )
            assert len(dataset) == size
            assert dataset[0]['img'].shape == (28, 28)


def test_a_second_call_changes_nothing_and_asks_nobody(tmp_path):
    fetch_fashion_mnist(tmp_path / 'out', put(tmp_path / 'source'), silent)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / 'out').iterdir()}
    shutil.rmtree(tmp_path / 'source')
    said = []
    fetch_fashion_mnist(tmp_path / 'out', tmp_path / 'source', said.append)
    fetch_fashion_mnist(tmp_path / 'out', log=said.append)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / 'out').iterdir()} == before
    assert said == []


def test_goes_on_after_an_interruption(tmp_path, monkeypatch):
    source, out, replace = put(tmp_path / 'source'), tmp_path / 'out', os.replace
    calls = []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        replace(*args)

    monkeypatch.setattr(os, 'replace', interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch_fashion_mnist(out, source, silent)
    assert len(content(out)) == 1  # one is complete, and no scrap of the others lies there
    fetch_fashion_mnist(out, source, silent)
    assert content(out) == FILES
    assert len(calls) == 5


def test_replaces_a_damaged_file(tmp_path):
    out = put(tmp_path / 'out', packed=False)
    (out / 'train-images-idx3-ubyte').write_bytes(b'half of it')
    fetch_fashion_mnist(out, put(tmp_path / 'source'), silent)
    assert content(out) == FILES


@pytest.mark.parametrize(
    'spoil, words',
    [
        (lambda data: data[:-30], 'train-labels-idx1-ubyte.gz is damaged'),
        (lambda data: b'<html>not found</html>', 'train-labels-idx1-ubyte.gz is damaged'),
        (lambda data: gzip.compress(b'other'), 'train-labels-idx1-ubyte.gz is not that of Fashion-MNIST: its 5 bytes'),
        (None, 'there is no .*train-labels-idx1-ubyte.gz'),
    ],
)
def test_a_bad_source_is_refused_and_leaves_nothing_false(tmp_path, spoil, words):
    file = put(tmp_path / 'source') / 'train-labels-idx1-ubyte.gz'
    file.write_bytes(spoil(file.read_bytes())) if spoil else file.unlink()
    with pytest.raises(SourceError, match=words):
        fetch_fashion_mnist(tmp_path / 'out', tmp_path / 'source', silent)
    name = 'train-images-idx3-ubyte'
    assert content(tmp_path / 'out') == {name: FILES[name]}


def test_the_sources_are_tried_in_turn(tmp_path, monkeypatch):
    monkeypatch.setattr(fashion_mnist, 'mmpretrain_download', lambda scratch: put(scratch / 'web'))
    said = []
    fetch_fashion_mnist(tmp_path / 'out', log=said.append)
    assert content(tmp_path / 'out') == FILES
    tried = [line for line in said if 'trying' in line]
    assert [
        word in line
        for word, line in zip(
            ('the folder', 'installed package', "Debian's package", "MMPretrain's download"), tried, strict=True
        )
    ] == [True] * 4
    assert '  no apt here' in said


def test_the_error_names_what_every_source_lacked(tmp_path):
    with pytest.raises(SourceError) as caught:
        fetch_fashion_mnist(tmp_path / 'out', log=silent)
    text = str(caught.value)
    for words in ('there is no', 'no apt here', 'no network here', 'https://github.com/', 't10k-labels-idx1-ubyte'):
        assert words in text


APT = """#!/bin/sh
echo "$@" >> {log}
case "$*" in
    *Dir::State::lists=*update) touch {lists} ;;
    *download*) [ -e {lists} ] || {{ echo 'E: Unable to locate package' >&2; exit 100; }}
        cp {package} . ;;
esac
"""
DPKG = """#!/bin/sh
mkdir -p "$3" && tar -xf "$2" -C "$3"
"""


@pytest.fixture
def apt(tmp_path, monkeypatch):
    """Stand-ins for apt-get, which knows the package once its list is there, and for dpkg."""
    put(tmp_path / 'root' / DEBIAN_FOLDER)
    package = shutil.make_archive(str(tmp_path / 'package'), 'tar', tmp_path / 'root')
    package = shutil.move(package, tmp_path / 'package.deb')
    programs = tmp_path / 'bin'
    programs.mkdir()
    log, lists = tmp_path / 'log', tmp_path / 'lists'
    for name, text in (('apt-get', APT), ('dpkg', DPKG)):
        (programs / name).write_text(text.format(log=log, lists=lists, package=package))
        (programs / name).chmod(0o755)
    monkeypatch.setenv('PATH', f'{programs}:/usr/bin:/bin')
    monkeypatch.setattr(fashion_mnist, 'DEBIAN_FOLDER', DEBIAN_FOLDER)
    return tmp_path


@pytest.mark.parametrize('has_lists, calls', [(True, 1), (False, 3)])
def test_unpacks_the_debian_package_with_or_without_package_lists(apt, has_lists, calls):
    if has_lists:
        (apt / 'lists').touch()
    scratch = apt / 'scratch'
    scratch.mkdir()
    found = debian_package(scratch)
    assert {name: gzip.decompress(data) for name, data in content(found).items()} == {
        f'{name}.gz': data for name, data in FILES.items()
    }
    assert len((apt / 'log').read_text().splitlines()) == calls


def test_says_what_apt_said(apt):
    (apt / 'package.deb').unlink()
    (apt / 'bin' / 'apt-get').write_text('#!/bin/sh\necho "W: x\nE: no route" >&2; exit 100\n')
    with pytest.raises(SourceError, match=r'^apt-get failed: E: no route$'):
        debian_package(apt / 'root')


def test_a_machine_without_apt_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(SourceError, match='there is no apt-get on this machine'):
        debian_package(tmp_path)
