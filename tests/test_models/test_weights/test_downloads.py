# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Weights are downloaded once, whole, and with the content that their name promises."""

from __future__ import annotations

import functools
import http.server
import threading
from pathlib import Path

import pytest
import torch

from mmcascade.models.members.members import build_member
from mmcascade.models.members.weights.checkpoints import CheckpointError
from mmcascade.models.members.weights.downloads import local_file
from mmcascade.models.members.weights.hashes import hash_in_name, sha256
from tests.test_models.member_kinds import tiny_resnet
from tests.test_models.saved_checkpoints import HASHED


@pytest.mark.parametrize(
    'name, expected',
    [
        ('resnet18_8xb32_in1k_20210831-fbbb1da6.pth', 'fbbb1da6'),
        ('epoch_2.pth', None),
        ('net-20210831.txt.pth', None),
        ('net-FBBB1DA6.pth', 'fbbb1da6'),
        ('net-fbbb1da6.pth.tar', 'fbbb1da6'),
        ('net_fbbb1da6.pth', 'fbbb1da6'),
        ('net-00000000.pth', '00000000'),
        ('net-' + 'ab' * 32 + '.safetensors', 'ab' * 32),
        ('net_' + 'ab' * 32 + '.safetensors', 'ab' * 32),
        # Steps, dates, hashes of another kind.
        ('iter_00160000.pth', None),
        ('net_20210831.pth', None),
        ('net-20210831.pth', None),
        ('net-20210831123000.pth', None),
        ('net_' + 'ab' * 16 + '.pth', None),
        ('net-fbbb1da6', None),
        ('net-fbbb1da.pth', None),
    ],
)
def test_hash_in_name(name, expected):
    assert hash_in_name(Path('folder-0123abcd.d') / name) == expected


def test_local_weights(weights_file):
    assert local_file(str(weights_file)) == weights_file
    assert local_file(weights_file.as_uri()) == weights_file
    with pytest.raises(FileNotFoundError, match='not a file'):
        local_file(str(weights_file.with_name('other.pth')))


def test_local_weights_with_another_content(weights_file):
    weights_file.write_bytes(b'something else')
    with pytest.raises(CheckpointError, match=r'its SHA-256 begins with \w{8}, expected \w{8}'):
        local_file(str(weights_file))


@pytest.mark.parametrize('name', ['net-{}.pth.tar', 'net_{}.pth', 'NET-{}.PTH'])
def test_the_hash_of_a_path_is_checked_too(weights_file, name):
    digits = sha256(weights_file)[:8]
    if not set(digits) & set('abcdef'):
        pytest.skip('a hash of decimal digits may be a step')
    good = weights_file.rename(weights_file.with_name(name.format(digits.upper())))
    assert local_file(str(good)) == good
    good.write_bytes(good.read_bytes() + b'!')
    with pytest.raises(CheckpointError, match='another name'):
        local_file(str(good))


@pytest.fixture
def server(weights_file, tmp_path, monkeypatch):
    """The folder of the weights, over HTTP; gives its URL and the requests so far."""
    requests: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_request(self, *args):
            requests.append(self.path)

        def log_error(self, *args):
            pass

    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    handler = functools.partial(Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield f'http://127.0.0.1:{running.server_port}', requests
        running.shutdown()


def test_download_once(server, weights_file, tmp_path):
    url, requests = server
    for _ in range(2):
        file = local_file(f'{url}/{weights_file.name}')
        assert file == tmp_path / 'cache/hub/checkpoints' / weights_file.name
        assert file.read_bytes() == weights_file.read_bytes()
    assert requests == [f'/{weights_file.name}']


def test_download_with_another_content_leaves_nothing(server, weights_file, tmp_path):
    url, _ = server
    wrong = weights_file.rename(tmp_path / HASHED.format('0' * 8))
    with pytest.raises(CheckpointError, match='cannot download.*expected 00000000'):
        local_file(f'{url}/{wrong.name}')
    assert not list((tmp_path / 'cache/hub/checkpoints').iterdir())


def test_download_of_nothing(server, tmp_path):
    url, _ = server
    with pytest.raises(CheckpointError, match='cannot download .*404.*path as checkpoint='):
        local_file(f'{url}/nothing.pth')


def test_a_damaged_cache_is_noticed(server, weights_file, tmp_path):
    url, _ = server
    local_file(f'{url}/{weights_file.name}').write_bytes(b'cut off')
    with pytest.raises(CheckpointError, match='Delete it and fetch it again'):
        local_file(f'{url}/{weights_file.name}')


def test_two_urls_of_one_file_name(server, tmp_path):
    url, _ = server
    contents = []
    for folder in ('seed0', 'seed1'):
        (tmp_path / folder).mkdir()
        torch.save({'w': torch.rand(3)}, tmp_path / folder / 'best.pth')
        contents.append((tmp_path / folder / 'best.pth').read_bytes())
    files = [local_file(f'{url}/{folder}/best.pth') for folder in ('seed0', 'seed1', 'seed0')]
    assert [file.read_bytes() for file in files[:2]] == contents
    assert files[0] == files[2] != files[1]
    assert all(file.name.startswith('best.') and file.suffix == '.pth' for file in files)


@pytest.fixture
def cut_off(tmp_path, monkeypatch):
    """A server that promises more than it sends."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header('Content-Length', '2000')
            self.end_headers()
            self.wfile.write(b'x' * 900)

        def log_message(self, *args):
            pass

    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield f'http://127.0.0.1:{running.server_port}'
        running.shutdown()


@pytest.mark.parametrize('name', ['cut.pth', 'cut-0123abcd.pth'])
def test_a_cut_download_is_not_kept(cut_off, tmp_path, name):
    with pytest.raises(CheckpointError, match='ended after 900 of 2000 bytes'):
        local_file(f'{cut_off}/{name}')
    assert not list((tmp_path / 'cache/hub/checkpoints').iterdir())


def test_a_download_that_cannot_be_read_is_deleted(server, tmp_path):
    url, _ = server
    (tmp_path / 'page.pth').write_text('<html>404</html>')
    config = tiny_resnet()
    for _ in range(2):
        with pytest.raises(CheckpointError, match=r'downloaded from .*page\.pth.* has been deleted'):
            build_member('a', config, f'{url}/page.pth')
    assert not list((tmp_path / 'cache/hub/checkpoints').iterdir())
    torch.save({'state_dict': build_member('a', config).module.state_dict()}, tmp_path / 'page.pth')
    assert build_member('a', config, f'{url}/page.pth').loaded


def test_what_cannot_be_read_and_is_the_users_own_stays(tmp_path):
    (tmp_path / 'mine.pth').write_text('not weights')
    for checkpoint in (tmp_path / 'mine.pth', (tmp_path / 'mine.pth').as_uri()):
        with pytest.raises(CheckpointError, match='cannot be read'):
            build_member('a', tiny_resnet(), checkpoint)
    assert (tmp_path / 'mine.pth').is_file()
