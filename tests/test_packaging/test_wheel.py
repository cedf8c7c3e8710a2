# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A wheel: what it carries, what it says of itself, and its commands."""

from __future__ import annotations

import re
import runpy
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path
from unittest import mock

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mmcascade import __version__
from tests.support import ROOT
from tests.support.wheels import build_wheel, copy_sources, run
from tests.test_packaging.required import required


@pytest.fixture(scope='module')
def checkout(tmp_path_factory) -> Path:
    return copy_sources(tmp_path_factory.mktemp('checkout'))


@pytest.fixture(scope='module')
def wheel(checkout) -> Path:
    return build_wheel(checkout)


@pytest.fixture(scope='module')
def installed(wheel, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('site-packages')
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def resources(root: Path) -> set[str]:
    return {
        path.relative_to(root).as_posix()
        for name in ('configs', 'tools')
        for path in (root / name).rglob('*')
        if path.is_file() and '__pycache__' not in path.parts
    }


def test_wheel_carries_every_config_and_tool(installed):
    expected = resources(ROOT)
    assert 'tools/convert_lite_weights.py' in expected
    assert resources(installed / 'mmcascade' / '.mim') == expected


def test_wheel_carries_the_page_and_the_list_of_models(installed):
    page = {path.name for path in (ROOT / 'mmcascade' / 'visualization' / 'report' / 'template').iterdir()}
    assert {path.name for path in (installed / 'mmcascade/visualization/report/template').iterdir()} == page
    assert (installed / 'mmcascade' / '.mim' / 'model-index.yml').read_text() == (ROOT / 'model-index.yml').read_text()


def test_wheel_carries_every_module_and_the_type_marker(installed):
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / 'mmcascade').rglob('*.py')}
    found = {
        path.relative_to(installed).as_posix()
        for path in (installed / 'mmcascade').rglob('*.py')
        if '.mim' not in path.parts
    }
    assert found == {name for name in modules if '.mim/' not in name}
    assert (installed / 'mmcascade' / 'py.typed').exists()
    assert not (installed / 'tests').exists()


def test_metadata_keeps_the_libraries_of_the_members_in_extras(installed):
    metadata = next(installed.glob('*.dist-info')) / 'METADATA'
    text = metadata.read_text()
    assert f'Version: {__version__}\n' in text
    needs = [Requirement(line) for line in re.findall(r'^Requires-Dist: (.+)$', text, re.M)]
    hard = {need.name for need in needs if need.marker is None}
    extra = {
        name: {need.name for need in needs if need.marker and need.marker.evaluate({'extra': name})} - hard
        for name in ('onedl', 'openmmlab')
    }
    assert hard == {'numpy'}
    assert all('torch' in names for names in extra.values())
    assert {'onedl-mmengine', 'onedl-mmpretrain'} <= extra['onedl']
    assert {'mmengine', 'mmcv-lite', 'mmpretrain'} <= extra['openmmlab']
    assert set(map(canonicalize_name, extra['onedl'] & extra['openmmlab'])) == required('torch').keys() - hard | {
        'torchvision'
    }


def test_metadata_fills_the_page_of_an_index(installed):
    (path,) = installed.glob('*.dist-info/METADATA')
    metadata = message_from_string(path.read_text())
    assert metadata['Description-Content-Type'] == 'text/markdown'
    shown, readme = metadata.get_payload().strip(), (ROOT / 'README.md').read_text()
    assert LINK.findall(readme) and not [target for target in LINK.findall(shown) if '://' not in target]
    assert [line for line in shown.splitlines() if line] == [
        line for line in as_setup_says(readme).strip().splitlines() if line
    ]
    assert metadata['Author'] and metadata['Keywords'] and metadata['Summary']
    assert len(metadata.get_all('Project-URL')) >= 2
    minors = [int(value.rpartition('.')[2]) for value in metadata.get_all('Classifier') if ':: 3.' in value]
    assert metadata['Requires-Python'] == f'>=3.{minors[0]}'
    assert minors == list(range(minors[0], minors[-1] + 1))


#: The target of a link or a picture of Markdown.
LINK = re.compile(r'\[[^]]*\]\(([^)]+)\)')


def as_setup_says(readme: str, **options: str) -> str:
    with mock.patch('setuptools.setup'):
        return runpy.run_path(str(ROOT / 'setup.py'))['described'](readme, **options)


def test_links_of_the_page_of_an_index_lead_somewhere():
    readme = 'See [a page\nof `it`](docs/a.md#part), [us](https://x.org/a) and [below](#here).\n![seen](docs/a.svg)'
    home = 'https://x.org/files/'
    assert as_setup_says('[a.md](a.md)') == '`a.md`'
    assert as_setup_says(readme) == 'See a page\nof `it` (`docs/a.md`), [us](https://x.org/a) and [below](#here).\n'
    assert as_setup_says(readme, home=home) == (
        f'See [a page\nof `it`]({home}docs/a.md#part), [us](https://x.org/a) and [below](#here).\n'
        f'![seen]({home}docs/a.svg)'
    )
    whole = as_setup_says((ROOT / 'README.md').read_text(), home=home)
    inside = [target.removeprefix(home) for target in LINK.findall(whole) if target.startswith(home)]
    assert len(inside) > 15 and all((ROOT / target.partition('#')[0]).exists() for target in inside)


def test_source_distribution_builds_the_same_wheel(checkout, installed):
    code = "from setuptools import build_meta; print(build_meta.build_sdist('sdist'))"
    run(sys.executable, '-c', code, cwd=checkout)
    (archive,) = (checkout / 'sdist').glob('*.tar.gz')
    with tarfile.open(archive) as packed:
        packed.extractall(checkout / 'unpacked', filter='data')
    (unpacked,) = (checkout / 'unpacked').iterdir()
    assert resources(unpacked) == resources(installed / 'mmcascade' / '.mim')
    assert not (unpacked / 'tests').exists()
    names = {path.name for path in (ROOT / 'requirements').glob('*.txt')}
    assert {path.name for path in (unpacked / 'requirements').glob('*.txt')} == names


def test_commands_of_an_installed_wheel(installed, tmp_path):
    def mmcascade(*args: str) -> str:
        return run(sys.executable, '-m', 'mmcascade', *args, cwd=tmp_path, PYTHONPATH=str(installed))

    root = Path(mmcascade('path').strip())
    assert root == installed / 'mmcascade' / '.mim'
    listed = mmcascade('list').splitlines()
    assert 'configs/selective/efficientnet-lite_window_foolbox.py' in listed
    assert all((root / name).is_file() for name in listed)
    assert '20 labelled photos' in mmcascade('foolbox_samples', 'photos')
    assert len(list((tmp_path / 'photos' / 'val').iterdir())) == 20
