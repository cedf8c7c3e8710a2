# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Imports run downwards and in no circle, folders stay small, what is pure stays so; and the page that says it."""

from __future__ import annotations

import ast
import re
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / 'mmcascade'
PAGE = ROOT / 'docs' / 'en' / 'advanced_guides' / 'architecture.md'
READER = runpy.run_path(str(ROOT / 'docs' / 'import_graph.py'))
PICTURE = runpy.run_path(str(ROOT / 'docs' / 'architecture_picture.py'))
FLOORS = PICTURE['FLOORS']
MOST_IN_A_FOLDER = 11
#: Files and folders beside each other that may import each other, by their folder, each with the reason. Keep it empty.
CIRCLES_THAT_STAY: dict[tuple[str, tuple[str, ...]], str] = {}
OPENMMLAB = {'mmengine', 'mmcv', 'mmpretrain', 'mmseg'}
#: Per part, the libraries that it may import beside the standard library.
LIBRARIES = {
    'runtime': {'numpy', 'PIL', 'onnxruntime', 'openvino'},
    'routing': {'numpy', 'torch'},
    'evaluation': {'numpy'},
    'calibration': {'numpy', 'scipy', 'sklearn', 'torch'},
}
#: What imports nothing of ours, or from one part only.
NARROW = {'runtime': set(), '_system': set(), 'routing': set(), 'serving': {'runtime'}}


def upward(graph):
    """Imports between parts that do not go down, and those of parts that may import less."""
    floor = {part: height for height, parts in enumerate(FLOORS) for part in parts}
    part_of = PICTURE['part_of']
    found = []
    for name, imported in graph.items():
        here = part_of(name)
        for other in imported:
            there = part_of(other)
            if here in (None, there) or there is None:
                continue
            if floor[there] >= floor[here] or there not in NARROW.get(here, {there}):
                found.append((name, other))
    return sorted(found)


def foreign(graph):
    """Libraries that a part must not import."""
    part_of = PICTURE['part_of']
    return sorted(
        (name, other)
        for name, imported in graph.items()
        for other in imported
        if part_of(name) in LIBRARIES
        and not other.startswith('mmcascade')
        and other not in LIBRARIES[part_of(name)] | set(sys.stdlib_module_names)
    )


def entries(folder):
    """What a folder of the package shows."""
    files = [path for path in folder.glob('*.py') if path.name != '__init__.py']
    return files + [path.parent for path in folder.glob('*/__init__.py')]


def crowded(package):
    """Folders below a package that show more than fits into a view."""
    found = {}
    for folder in sorted(path.parent for path in package.rglob('__init__.py')):
        shown = len(entries(folder))
        if folder != package and shown > MOST_IN_A_FOLDER:
            found[str(folder.relative_to(package))] = shown
    return found


def exists(place, parts):
    path = place.joinpath(*parts)
    return (path / '__init__.py').is_file() or path.with_suffix('.py').is_file()


@pytest.fixture(scope='module')
def imports():
    return READER['imports_in'](PACKAGE)


@pytest.fixture(scope='module')
def graph(imports):
    return READER['imports_of'](imports)


def test_imports_run_downwards(graph):
    assert upward(graph) == []


def test_no_modules_import_each_other(graph):
    assert READER['circles'](graph) == []


def test_nothing_in_a_folder_imports_what_imports_it(imports):
    found = READER['sibling_circles'](imports)
    refused = [str(circle) for circle in found if (circle.folder, circle.siblings) not in CIRCLES_THAT_STAY]
    assert not refused, '\n'.join(refused)
    assert set(CIRCLES_THAT_STAY) == {(circle.folder, circle.siblings) for circle in found}, (
        'a circle is gone: forget it'
    )


def test_what_is_imported_of_us_is_there():
    """Wherever we import ourselves, functions and tests that are not run here included."""
    missing = []
    for folder in ('mmcascade', 'tests', 'tools', 'benchmarks', 'docs', 'configs'):
        for path in ROOT.joinpath(folder).rglob('*.py'):
            for name in re.findall(r'^ *(?:from|import) (mmcascade(?:\.\w+)*)', path.read_text(), re.MULTILINE):
                if not exists(ROOT, name.split('.')):
                    missing.append(f'{path.relative_to(ROOT)}: {name}')
    assert missing == []


def test_what_is_pure_imports_no_other_library(graph):
    assert foreign(graph) == []
    assert not any(OPENMMLAB & libraries for libraries in LIBRARIES.values())


def test_every_part_stands_on_a_floor(graph):
    parts = {PICTURE['part_of'](name) for name in graph} - {None}
    assert parts == {part for floor in FLOORS for part in floor}


def test_folders_show_few_entries():
    assert crowded(PACKAGE) == {}


def test_folders_say_what_they_hold_and_what_belongs_elsewhere():
    short = []
    for face in PACKAGE.glob('*/**/__init__.py'):
        said = ast.get_docstring(ast.parse(face.read_text())) or ''
        first, _, rest = said.partition('\n\n')
        if not first or len(entries(face.parent)) > 2 and not 1 < len(rest.splitlines()) < 6:
            short.append(str(face.relative_to(ROOT)))
    assert short == []


def test_folders_name_what_exists():
    wrong = []
    for face in PACKAGE.rglob('__init__.py'):
        said = ast.get_docstring(ast.parse(face.read_text())) or ''
        places = [folder for folder in (face.parent, *face.parents) if PACKAGE in (folder, *folder.parents)]
        for name in re.findall(r'``([a-z_]+(?:\.[a-z_]+)+)``', said):
            parts = name.split('.')
            near = [place for place in places if exists(place, parts[:1])]
            if near and not any(exists(place, parts) for place in near):
                wrong.append(f'{face.relative_to(ROOT)}: {name}')
    assert wrong == []


def test_a_made_tree_with_every_fault_is_refused(tmp_path):
    package = tmp_path / 'mmcascade'
    files = {
        '__init__.py': '',
        'routing/__init__.py': '',
        'routing/router.py': 'def late():\n    from mmcascade.engine import runs\n',
        'engine/__init__.py': '',
        'engine/runs.py': 'from .hooks import hook\nfrom mmcascade.routing import router\n',
        'engine/hooks.py': 'import mmcascade.engine.runs\n',
        'runtime/__init__.py': 'import torch, json\nfrom mmcascade._system import files\n',
        '_system/__init__.py': '',
        '_system/files.py': '',
        'calibration/__init__.py': 'import mmengine.config\n',
        **{f'demo/m{number}.py': '' for number in range(12)},
        'demo/__init__.py': '',
    }
    for name, text in files.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    graph = READER['imports_of'](READER['imports_in'](package))
    assert upward(graph) == [
        ('mmcascade.routing.router', 'mmcascade.engine.runs'),
        ('mmcascade.runtime', 'mmcascade._system.files'),
    ]
    assert READER['circles'](graph) == [['mmcascade.engine.hooks', 'mmcascade.engine.runs', 'mmcascade.routing.router']]
    assert foreign(graph) == [('mmcascade.calibration', 'mmengine'), ('mmcascade.runtime', 'torch')]
    assert crowded(package) == {'demo': 12}


def test_folders_beside_each_other_are_in_a_circle_where_no_modules_are(tmp_path):
    package = tmp_path / 'made'
    files = {
        '__init__.py': 'from made.high import use\n',
        'low/__init__.py': '',
        'low/base.py': '',
        'low/odd.py': 'from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from made.high.plain import x\n',
        'between/__init__.py': 'from made.low import base\n',
        'high/__init__.py': '',
        'high/use.py': 'class A:\n    def late(self):\n        from .. import between\n',
        'high/plain.py': 'import made.low.base\n',
        'beside.py': 'from made import between\n',
    }
    for name, text in files.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    imports = READER['imports_in'](package)
    assert READER['circles'](READER['imports_of'](imports)) == []
    (circle,) = READER['sibling_circles'](imports)
    assert (circle.folder, circle.siblings) == ('made', ('between', 'high', 'low'))
    assert [tuple(each) for each in circle.imports] == [
        ('made.between', 'made.low.base', 'loaded'),
        ('made.high.plain', 'made.low.base', 'loaded'),
        ('made.high.use', 'made.between', 'called'),
        ('made.low.odd', 'made.high.plain', 'typed'),
    ]
    assert str(circle).endswith('made.low.odd -> made.high.plain (typed)')


def test_the_page_has_a_paragraph_per_folder_and_names_what_exists():
    text = PAGE.read_text()
    told = set(re.findall(r'^\*\*`(\w+)/`\*\*', text, re.MULTILINE))
    assert told == {path.parent.name for path in PACKAGE.glob('*/__init__.py')}
    below = {f'`{path.parent.relative_to(PACKAGE)}/`' for path in PACKAGE.glob('*/**/__init__.py')}
    assert {folder for folder in below if folder not in text} == set()
    names = [*re.findall(r'`((?:\w+/)+(?:\w+\.py)?)`', text), *re.findall(r'`(\w+(?:/\w+)*\.py)`', text)]
    assert len(names) > 40
    assert [name for name in names if not (PACKAGE / name).exists() and not (ROOT / name).exists()] == []


def test_the_picture_is_that_of_the_tree(graph):
    picture = ROOT / 'docs' / 'en' / 'images' / 'architecture.svg'
    drawn = picture.read_text()
    for parts in FLOORS:
        for part in parts:
            assert f'<g id="part {part}"' in drawn
    assert set(re.findall(r'<g id="arrow ([\w.]+ [\w.]+)"', drawn)) == {
        f'{above} {below}' for above, below in PICTURE['arrows'](graph)
    }
