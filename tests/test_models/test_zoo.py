# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import functools
import http.server
import importlib
import shutil
import sys
import threading
from pathlib import Path

import pytest
import torch
import yaml

from mmcascade.models.members import zoo
from mmcascade.models.members.members import build_member
from mmcascade.models.members.weights.checkpoints import CheckpointError
from mmcascade.models.members.weights.downloads import local_file
from mmcascade.models.members.weights.hashes import hash_in_name, sha256
from mmcascade.models.members.zoo import ZooModel, find_config, find_weights, library_home, read_index
from tests.test_models.member_kinds import tiny_resnet

HASHED = 'resnet18_8xb32_in1k-{}.pth'


@pytest.fixture
def weights_file(tmp_path) -> Path:
    """A file that is called as the zoos call theirs."""
    raw = tmp_path / 'raw.pth'
    torch.save({'w': torch.ones(3)}, raw)
    return raw.rename(tmp_path / HASHED.format(sha256(raw)[:8]))


@pytest.fixture
def own_zoo(tmp_path, weights_file) -> Path:
    """A user's own zoo: an index, a metafile below it, configs, and a local weight."""
    (tmp_path / 'configs/net').mkdir(parents=True)
    (tmp_path / 'configs/net/net.py').write_text('model = dict()')
    (tmp_path / 'configs/net/shared.py').write_text('model = dict()')
    models = [
        dict(Name='Net_A', Config='configs/net/net.py', Weights=weights_file.name),
        dict(Name='net_b', Config='configs/net/net.py', Weights=None),
        dict(Name='net_url', Config='configs/net/net.py', Weights='https://host/net-0a1b2c3d.pth'),
        dict(Name='shared_1', Config='configs/net/shared.py', Weights='https://host/1.pth'),
        dict(Name='shared_2', Config='configs/net/shared.py', Weights='https://host/2.pth'),
        dict(Name='gone', Config='configs/net/gone.py'),
        dict(Name='headless'),
    ]
    (tmp_path / 'configs/net/metafile.yml').write_text(yaml.safe_dump(dict(Models=models)))
    index = tmp_path / 'model-index.yml'
    index.write_text(yaml.safe_dump(dict(Import=['configs/net/metafile.yml'])))
    return index


@pytest.fixture(params=['wheel', 'checkout'])
def library(request, own_zoo, tmp_path, monkeypatch) -> str:
    """The same zoo as that of an installed library, which must not get imported."""
    name = 'fakepretrain'
    package = tmp_path / 'site' / name
    package.mkdir(parents=True)
    (package / '__init__.py').write_text('raise AssertionError("imported")')
    home = package / '.mim' if request.param == 'wheel' else package.parent
    shutil.copytree(tmp_path / 'configs', home / 'configs')
    shutil.copy(own_zoo, home)
    for file in tmp_path.glob('*.pth'):
        shutil.copy(file, home)
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setattr(zoo, 'LIBRARIES', (name, 'libraryofnobody'))
    importlib.invalidate_caches()
    yield name
    assert name not in sys.modules


# Configs and weights by reference ---------------------------------------------------------------


@pytest.mark.parametrize('file', ['model-index.yml', 'configs/net/metafile.yml'])
def test_own_metafile(own_zoo, tmp_path, weights_file, file):
    reference = f'{tmp_path / file}::net_a'
    assert find_config(reference) == tmp_path / 'configs/net/net.py'
    assert find_weights(reference) == str(weights_file)


def test_own_metafile_by_a_relative_path(own_zoo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / 'configs')
    assert find_config('net/metafile.yml::net_b') == tmp_path / 'configs/net/net.py'


@pytest.mark.parametrize('reference', ['Net_A', 'net_a', '{}::NET_A'])
def test_library_by_name(library, reference):
    reference = reference.format(library)
    assert find_config(reference) == library_home(library) / 'configs/net/net.py'
    assert Path(find_weights(reference)).parent == library_home(library)


def test_library_by_config(library):
    assert find_config(f'{library}::net/net.py') == library_home(library) / 'configs/net/net.py'


def test_urls_are_given_back_as_they_are(library):
    assert find_weights('net_url') == 'https://host/net-0a1b2c3d.pth'


def test_no_weights(library):
    with pytest.raises(ValueError, match="no weights for 'net_b'.*None to build"):
        find_weights('net_b')


def test_several_weights_for_one_config(library):
    with pytest.raises(ValueError, match='several(.|\n)*shared_1: https://host/1.pth(.|\n)*shared_2'):
        find_weights(f'{library}::net/shared.py')


def test_weights_of_the_name_that_the_config_has(own_zoo, tmp_path, library):
    metafile = library_home(library) / 'configs/net/metafile.yml'
    models = yaml.safe_load(metafile.read_text())['Models']
    models.append(dict(Name='shared', Config='configs/net/shared.py', Weights='https://host/0.pth'))
    metafile.write_text(yaml.safe_dump(models))  # a bare list is a metafile too
    read_index.cache_clear()
    assert find_weights(f'{library}::net/shared.py') == 'https://host/0.pth'


@pytest.mark.parametrize(
    'reference, error, message',
    [
        ('net_c', ValueError, "no model 'net_c' in the zoos of fakepretrain; close ones are .*net_b"),
        ('fakepretrain::net_c', ValueError, "no model 'net_c' in 'fakepretrain'; close ones are"),
        ('fakepretrain::net/nett.py', FileNotFoundError, "no config 'net/nett.py'.*are net/net.py"),
        ('libraryofnobody::a', ValueError, 'names no installed library'),
        ('not a name::a', ValueError, 'names no installed library'),
        ('gone', FileNotFoundError, "gone.py' of zoo model 'gone' is neither beside"),
        ('headless', ValueError, "'headless' names no config"),
    ],
)
def test_unknown_references(library, reference, error, message):
    with pytest.raises(error, match=message):
        find_config(reference)


def test_library_without_its_zoo(tmp_path, monkeypatch):
    package = tmp_path / 'barelibrary'
    package.mkdir()
    (package / '__init__.py').touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    with pytest.raises(ValueError, match=r'barelibrary is installed in .* without its zoo'):
        find_config('barelibrary::a')


def test_no_library_at_all(monkeypatch):
    monkeypatch.setattr(zoo, 'LIBRARIES', ('libraryofnobody',))
    with pytest.raises(ValueError, match='libraryofnobody, and none is installed'):
        find_config('resnet18_8xb32_in1k')


@pytest.mark.parametrize('content', ['just text', 'Name: x', '[]'])
def test_no_metafile(tmp_path, content):
    (tmp_path / 'a.yml').write_text(content)
    with pytest.raises(ValueError, match="is no metafile|no model 'x'"):
        find_config(f'{tmp_path / "a.yml"}::x')
    with pytest.raises(FileNotFoundError, match=r"metafile '.*b\.yml' is not a file"):
        find_config(f'{tmp_path / "b.yml"}::x')


@pytest.mark.parametrize(
    'name, scope',
    [
        ('resnet18_8xb32_in1k', 'mmpretrain'),
        ('mmpretrain::resnet/resnet18_8xb32_in1k.py', 'mmpretrain'),
        ('segformer_mit-b0_8xb1-160k_cityscapes-1024x1024', 'mmseg'),
    ],
)
def test_the_installed_zoos(name, scope):
    pytest.importorskip(scope)
    config = find_config(name)
    assert config.is_file() and config.is_relative_to(library_home(scope))
    weights = find_weights(name)
    assert weights.startswith('https://') and hash_in_name(Path(weights))


def test_every_weight_of_the_installed_zoos_has_a_hash():
    pytest.importorskip('mmpretrain')
    models = read_index(library_home('mmpretrain') / 'model-index.yml')
    assert len(models) > 400
    assert all(hash_in_name(Path(model.weights)) for model in models if model.weights)


def test_an_entry_is_found_beside_the_nearest_metafile(tmp_path):
    for folder in (tmp_path, tmp_path / 'a'):
        folder.mkdir(exist_ok=True)
        (folder / 'x.py').touch()
    model = ZooModel('x', 'x.py', None, tmp_path / 'a/b/metafile.yml')
    assert model.config == tmp_path / 'a/x.py'


# Files and their hashes ---------------------------------------------------------------------------


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
