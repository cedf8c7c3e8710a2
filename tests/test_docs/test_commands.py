# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Commands name tools, flags and files that exist."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support import ROOT
from tests.test_docs.pages import PAGES, commands, files_in_pages, name_of


def flags_of(tool: Path) -> set[str]:
    """The flags in the source of a tool and those it shares; shell scripts pass theirs on to tools/test.py."""
    sources = [tool if tool.suffix == '.py' else ROOT / 'tools' / 'test.py', tool.parents[1] / 'common.py']
    sources += [ROOT / 'mmcascade' / 'engine' / 'console' / 'arguments.py']
    return {'--help'} | {
        node.value
        for source in sources
        if source.exists()
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith('--')
    }


def check_command(words: list[str], known_files: set[str]) -> None:
    program, *rest = words
    if words[:2] == ['python', '-m']:
        assert importlib.util.find_spec(words[2])
    elif program == 'make':
        makefile = (ROOT / 'Makefile').read_text()
        for word in rest:
            variable, given, _ = word.partition('=')
            assert re.search(rf'^{variable} [:?]?=' if given else rf'^{word}:', makefile, re.MULTILINE), word
    elif program == 'pip':
        extras = re.findall(r'\[([\w,]+)\]', ' '.join(rest))
        assert rest[0] == 'install'
        files = [f'requirements/{extra}.txt' for extra in ','.join(extras).split(',') if extra]
        files += [word for word in rest if word.endswith('.txt')]
        assert all((ROOT / file).exists() for file in files)
    elif program == 'curl':
        asked = urlsplit(next(word for word in rest if word.startswith('http://127.0.0.1:8000/')))
        assert f"'{asked.path}'" in (ROOT / 'mmcascade' / 'serving' / 'app.py').read_text(), asked.path
    elif program == 'mmcascade':
        tools = {path.stem: path for path in (ROOT / 'tools').rglob('*.py')}
        assert rest[0] in {*tools, 'list', 'path', 'data', '--help', '--version'}
        if rest[0] == 'data':
            assert rest[1] in {*tools, '--help'}
            rest = rest[1:]
        if rest[0] in tools:
            check_command(['python', str(tools[rest[0]]), *rest[1:]], known_files)
    else:
        tool = ROOT / (rest.pop(0) if program == 'python' else program)
        assert tool.is_file() and {'tools', 'benchmarks', 'docs'} & set(tool.relative_to(ROOT).parts), tool
        assert {word for word in rest if word.startswith('--')} <= flags_of(tool)
        for word in rest:
            if word.endswith('.py'):
                made = word.startswith(('bundle/', 'work_dirs/'))  # by an earlier command of the page
                assert made or word in known_files or (ROOT / word).is_file(), word


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_commands_name_tools_flags_and_files_that_exist(page):
    for words in commands(page):
        check_command(words, set(files_in_pages()))


@pytest.mark.parametrize(
    'words',
    [
        'python tools/tset.py cascade.py',
        'python tools/test.py nowhere.py',
        'python tools/test.py cascade.py --cover',
        'make domo',
        'pip install .[nothing]',
        'mmcascade tset x',
        'curl http://127.0.0.1:8000/v1/decode',
    ],
)
def test_wrong_commands_are_found(words):
    with pytest.raises(AssertionError):
        check_command(shlex.split(words), {'cascade.py'})


def test_tools_in_tables_exist():
    for page in PAGES:
        for name in re.findall(r'tools/[\w/]+\.(?:py|sh)', page.read_text()):
            assert (ROOT / name).is_file(), f'{name} in {name_of(page)}'
