# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Names of a model zoo lead to configs and weights."""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from mmcascade.models.members import zoo
from mmcascade.models.members.weights.hashes import hash_in_name
from mmcascade.models.members.zoo import ZooModel, find_config, find_weights, library_home, read_index


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


@pytest.mark.parametrize(
    ('name', 'where'),
    [
        ('tf_efficientnet_lite0.in1k', "'timm/tf_efficientnet_lite0.in1k'"),
        ('resnet18', "'timm/resnet18' and 'torchvision/resnet18'"),
    ],
)
def test_a_name_of_another_library_is_told(name, where):
    with pytest.raises(ValueError, match=f'other libraries have it as {where}'):
        find_config(name)
