# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The commands of a checkout."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mmcascade.__main__ import find_configs, find_tools, main, resource_root
from tests.support import ROOT


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
