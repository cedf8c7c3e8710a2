# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The package as others install it: a wheel, its commands, and the pinned environment."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mmcascade import __version__
from mmcascade.__main__ import find_configs, find_tools, main, resource_root
from tests.support import ROOT
from tests.support.wheels import build_wheel, copy_sources, run

# The lock takes cv2 from the build that needs no display libraries.
LOCKED_AS = {'opencv-python': 'opencv-python-headless'}
# What `make` installs.
PARTS = (
    'base', 'torch', 'onedl', 'runtime', 'onnx', 'openvino', 'serve', 'ray', 'parquet', 'tensorboard', 'torchmetrics',
    'demo', 'tests', 'lint',
)  # fmt: skip


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
    required = [Requirement(line) for line in re.findall(r'^Requires-Dist: (.+)$', text, re.M)]
    hard = {need.name for need in required if need.marker is None}
    extra = {
        name: {need.name for need in required if need.marker and need.marker.evaluate({'extra': name})} - hard
        for name in ('onedl', 'openmmlab')
    }
    assert hard == {'numpy'}
    assert all('torch' in names for names in extra.values())
    assert {'onedl-mmengine', 'onedl-mmpretrain'} <= extra['onedl']
    assert {'mmengine', 'mmcv-lite', 'mmpretrain'} <= extra['openmmlab']
    assert set(map(canonicalize_name, extra['onedl'] & extra['openmmlab'])) == need_names('torch') - hard | {
        'torchvision'
    }


def test_metadata_fills_the_page_of_an_index(installed):
    (path,) = installed.glob('*.dist-info/METADATA')
    metadata = message_from_string(path.read_text())
    assert metadata['Description-Content-Type'] == 'text/markdown'
    assert metadata.get_payload().strip() == (ROOT / 'README.md').read_text().strip()
    assert metadata['Author'] and metadata['Keywords'] and metadata['Summary']
    assert len(metadata.get_all('Project-URL')) >= 2
    minors = [int(value.rpartition('.')[2]) for value in metadata.get_all('Classifier') if ':: 3.' in value]
    assert metadata['Requires-Python'] == f'>=3.{minors[0]}'
    assert minors == list(range(minors[0], minors[-1] + 1))


def imported_packages(file: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(file.read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or '' for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    packages = {name.partition('.')[0] for name in names} - {'', 'mmcascade', *sys.stdlib_module_names}
    return {IMPORT_NAMES.get(name, name) for name in packages}


# Of distributions whose packages are called otherwise.
IMPORT_NAMES = {
    'cv2': 'opencv-python',
    'fastapi_offline': 'fastapi-offline',
    'PIL': 'pillow',
    'prometheus_client': 'prometheus-client',
    'sklearn': 'scikit-learn',
    'yaml': 'pyyaml',
    **{name: f'onedl-{name}' for name in ('mmcv', 'mmengine', 'mmpretrain')},
    'mmseg': 'onedl-mmsegmentation',
}
# What is looked for when a user asks for it, and whose absence is answered by a message that names it.
ASKED_FOR = {'huggingface_hub', 'pyarrow', 'safetensors', 'timm', 'transformers'}


@pytest.mark.parametrize(
    'parts, extras',
    [
        ('routing evaluation/curves calibration', 'torch'),
        ('runtime', 'runtime openvino'),
        ('serving', 'serve ray'),
        ('.', 'torch onedl onnx openvino serve ray torchmetrics'),
    ],
)
def test_what_is_imported_is_required(parts, extras):
    """Directly, and not by way of another requirement, which may drop it."""
    required = {
        name for part in ('base', *extras.split()) for name in read_requirements(ROOT / 'requirements' / f'{part}.txt')
    }
    for folder in parts.split():
        files = list((ROOT / 'mmcascade' / folder).rglob('*.py'))
        assert files, folder
        for file in files:
            assert imported_packages(file) - ASKED_FOR <= required, file


@pytest.mark.parametrize('extra', ['onedl', 'openmmlab'])
def test_both_sets_of_libraries_bring_what_is_imported(extra):
    names = {name.removeprefix('onedl-').replace('mmcv-lite', 'mmcv') for name in need_names(extra)}
    assert {'mmengine', 'mmcv', 'mmpretrain', 'mmsegmentation', 'torchvision'} <= names


def need_names(part: str) -> set[str]:
    return set(read_requirements(ROOT / 'requirements' / f'{part}.txt'))


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


def test_checkout_runs_its_own_tools_and_lists_no_base():
    assert resource_root() == ROOT
    assert find_tools(ROOT)['convert_lite_weights'] == ROOT / 'tools' / 'convert_lite_weights.py'
    configs = find_configs(ROOT)
    assert configs
    assert not [path for path in configs if '_base_' in path.parts]


def test_tools_have_distinct_names():
    assert len(find_tools(ROOT)) == len(list((ROOT / 'tools').rglob('*.py')))
    assert not {'list', 'path'} & find_tools(ROOT).keys()


@pytest.mark.parametrize('command', ['list', 'path'])
def test_commands_without_a_tool_explain_themselves_and_take_no_more_words(command, capsys):
    main([command, '--help'])
    assert capsys.readouterr().out.startswith(f'usage: mmcascade {command}\n')
    with pytest.raises(SystemExit, match=f'mmcascade {command} takes no more words, got configs'):
        main([command, 'configs'])


def test_a_reader_that_has_seen_enough_gets_no_traceback():
    done = subprocess.run(
        ['bash', '-c', f'{sys.executable} -m mmcascade list | head -0'],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=True,
    )
    assert 'BrokenPipe' not in done.stderr and 'Traceback' not in done.stderr


def test_unknown_tool_is_named_with_the_choice():
    done = subprocess.run(
        [sys.executable, '-m', 'mmcascade', 'tset'], cwd=ROOT, text=True, capture_output=True, check=False
    )
    assert done.returncode != 0
    assert "'tset'; did you mean test" in done.stderr


def read_requirements(path: Path) -> dict[str, Requirement]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith('#')]
    return {canonicalize_name(need.name): need for need in map(Requirement, lines)}


def test_lock_is_exact_and_satisfies_every_range():
    lock = read_requirements(ROOT / 'requirements' / 'lock.txt')
    pins = {}
    for name, need in lock.items():
        (specifier,) = need.specifier
        assert specifier.operator == '==', need
        pins[name] = specifier.version
    for part in PARTS:
        for name, need in read_requirements(ROOT / 'requirements' / f'{part}.txt').items():
            pin = pins[LOCKED_AS.get(name, name)]
            assert pin in need.specifier, f'{part}.txt: {need}, lock.txt: {pin}'


def test_the_site_adds_to_the_lock_and_changes_nothing_in_it():
    lock, added = (read_requirements(ROOT / 'requirements' / f'{name}.txt') for name in ('lock', 'docs'))
    assert not lock.keys() & added.keys()
    for name, need in added.items():
        assert re.fullmatch('==[^,*]+', str(need.specifier)), need
        if installed_version(name) == '0':
            continue  # `make docs` installs them
        for wanted in map(Requirement, distribution(name).requires or ()):
            if wanted.marker is None or wanted.marker.evaluate({'extra': ''}):
                found = (lock | added)[canonicalize_name(wanted.name)]
                assert next(iter(found.specifier)).version in wanted.specifier, f'{need} asks for {wanted}'


#: What only torch asks for, and only its builds for GPUs.
FOR_GPUS = re.compile(r'(nvidia-|cuda-).*|triton')


def test_the_lock_for_processors_is_the_lock_without_what_gpus_need():
    lock = read_requirements(ROOT / 'requirements' / 'lock.txt')
    text = (ROOT / 'requirements' / 'lock-cpu.txt').read_text()
    (option,) = re.findall(r'^--.*$', text, re.M)
    assert option == '--extra-index-url https://download.pytorch.org/whl/cpu'
    names = re.findall(r'^[^#-].*$', text, re.M)
    cpu = {canonicalize_name(need.name): need for need in map(Requirement, names)}
    assert len(names) == len(cpu) and cpu.keys() == {name for name in lock if not FOR_GPUS.fullmatch(name)}
    for name, need in cpu.items():
        local = '+cpu' if name in ('torch', 'torchvision') else ''
        assert str(need.specifier) == f'{lock[name].specifier}{local}'


def test_only_torch_asks_for_what_gpus_need():
    lock = read_requirements(ROOT / 'requirements' / 'lock.txt')
    for name in lock:
        if installed_version(name) == '0' or name == 'torch' or FOR_GPUS.fullmatch(name):
            continue
        needs = map(Requirement, distribution(name).requires or ())
        asked = {n.name for n in needs if n.marker is None or n.marker.evaluate({'extra': ''})}
        assert not {n for n in asked if FOR_GPUS.fullmatch(canonicalize_name(n))}, name


def test_make_takes_the_lock_for_processors():
    for words, lock in (((), 'lock.txt'), (('CPU=1',), 'lock-cpu.txt')):
        done = subprocess.run(
            ['make', '-n', '-B', 'lint', *words], cwd=ROOT, text=True, capture_output=True, check=True
        )
        assert f'--no-deps -r requirements/{lock}\n' in done.stdout


def test_lock_is_complete_and_has_nothing_else():
    """Follow the requirements of everything asked for: what they reach is what the lock names."""
    lock = read_requirements(ROOT / 'requirements' / 'lock.txt')
    other = [str(need) for name, need in lock.items() if installed_version(name) not in need.specifier]
    if other:
        pytest.skip(f'this environment is not the locked one: {", ".join(other[:3])} ...')
    waiting = [
        (name, extra)
        for part in PARTS
        for name, need in read_requirements(ROOT / 'requirements' / f'{part}.txt').items()
        for extra in ('', *need.extras)
    ]
    reached = set()
    while waiting:
        name, extra = waiting.pop()
        name = LOCKED_AS.get(name, name)
        if (name, extra) in reached:
            continue
        reached.add((name, extra))
        for need in map(Requirement, distribution(name).requires or ()):
            if need.marker is None or need.marker.evaluate({'extra': extra}):
                waiting += [(canonicalize_name(need.name), e) for e in ('', *need.extras)]
    assert {name for name, _ in reached} == lock.keys()


def installed_version(name: str) -> str:
    """Return the version of an installed distribution, '0' where there is none."""
    try:
        return distribution(name).version
    except PackageNotFoundError:
        return '0'
