# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The command line as a whole: help without libraries, names that were mistyped, Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcascade import __version__
from mmcascade.__main__ import main
from mmcascade.engine.console.commands import find_tools, help_of, parser_of
from mmcascade.engine.console.progress import beside_a_bar, progress_bar
from mmcascade.engine.predict.terminal import watching
from tests.support import ROOT

TOOLS = find_tools(ROOT)

HELP_ALONE = """
import sys
from mmcascade.__main__ import main
for words in (['--help'], ['data'], ['--version'], {words}):
    try:
        main(words)
    except SystemExit as end:
        assert not end.code, end.code
heavy = {{'torch', 'numpy', 'mmengine', 'mmcv', 'mmpretrain', 'rich', 'matplotlib', 'cv2'}} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.mark.parametrize('name', TOOLS)
def test_help_of_every_command_imports_nothing_heavy(name):
    code = HELP_ALONE.format(words=[name, '--help'])
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    program = 'mmcascade data' if TOOLS[name].parent.name == 'dataset_converters' else 'mmcascade'
    assert f'usage: {program} {name}' in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize('name', TOOLS)
def test_every_tool_has_a_line_of_help_and_a_parser_of_its_own(name):
    assert 10 < len(help_of(TOOLS[name])) <= 58
    parser = parser_of(TOOLS[name])
    assert parser.get_default('run') is not None and parser.get_default('interrupted')


def test_version_and_lists(capsys):
    main(['--version'])
    assert capsys.readouterr().out == f'mmcascade {__version__}\n'
    main(['data'])
    assert 'fashion_mnist' in capsys.readouterr().out
    main([])
    printed = capsys.readouterr().out
    assert 'usage: mmcascade COMMAND' in printed
    assert max(map(len, printed.splitlines())) <= 80 and not any(line.endswith('...') for line in printed.splitlines())


@settings(deadline=None)
@given(st.integers(40, 200), st.text('abc ', max_size=120))
def test_a_bar_and_its_text_fit_the_terminal(width, what):
    text, bar = beside_a_bar(what, width)
    assert len(text) + bar + 27 <= width and 10 <= bar <= 40
    assert text == what or (text.endswith('...') and what.startswith(text[:-3]))


@pytest.mark.parametrize('bar', [lambda: progress_bar('testing'), lambda: watching(2)])
def test_no_bar_stands_above_an_error_that_came_before_its_first_step(bar, capsys):
    with pytest.raises(ValueError, match='early'), bar():
        raise ValueError('early')
    with bar():
        pass
    assert not capsys.readouterr().err.strip()
    with pytest.raises(ValueError, match='late'), progress_bar('testing') as progress:
        progress(1, 3)
        raise ValueError('late')
    assert '1/3' in capsys.readouterr().err


@pytest.mark.parametrize(
    'words, message',
    [
        (['tset'], "no command 'tset'; did you mean test? See mmcascade --help"),
        (['calibarte', 'x.py'], 'did you mean calibrate?'),
        (['data', 'fashion_mnits'], "mmcascade data has no command 'fashion_mnits'; did you mean fashion_mnist?"),
        (['zzz'], 'choose from'),
    ],
)
def test_a_mistyped_command_is_one_line_with_the_near_one(words, message):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert str(end.value).startswith('error: ') and message in str(end.value)
    assert '\n' not in str(end.value)


@pytest.mark.parametrize(
    'words, message',
    [
        (['test', 'c.py', '--work-dri', 'x'], "unknown argument '--work-dri'; did you mean --work-dir?"),
        (['test', 'c.py', '--launcher', 'pytroch'], "invalid choice: 'pytroch'"),
        (['test', 'c.py', '--interval', '0'], 'is at least 1, got 0'),
        (['test', 'c.py', '--interval', 'x'], "invalid whole number value: 'x'"),
        (['train', 'a.py', 'b.py'], "unknown argument 'b.py'"),
        (['test'], 'the following arguments are required: config'),
        (['benchmark', 'c.py'], 'the following arguments are required: --out'),
    ],
)
def test_a_mistyped_argument_ends_with_usage_and_one_line(words, message, capsys):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    said = capsys.readouterr()
    assert said.out == ''
    assert said.err.startswith(f'usage: mmcascade {words[0]}') and message in said.err.splitlines()[-1]


def test_arguments_come_in_any_order():
    args = parser_of(TOOLS['test']).parse_args(['c.py', '--out', 'm.json', 'none'])
    assert (args.config, args.checkpoint, args.out) == ('c.py', 'none', 'm.json')


def test_what_parsers_say_of_choices_is_what_the_package_takes():
    """Parsers import nothing that would tell them."""
    from mmcascade.calibration.fit import request
    from mmcascade.calibration.grid.plan import MAX_STAGES, Plan
    from mmcascade.calibration.replay.quality import NAMES
    from mmcascade.calibration.search.chains import ORDERS
    from mmcascade.routing import FUSIONS

    calibrate, search = (
        {action.dest: action for action in parser_of(TOOLS[name])._actions} for name in ('calibrate', 'search')
    )
    for name, known in (
        ('rule', request.RULES),
        ('fit_on', request.FIT_ON),
        ('maps', request.MAPS),
        ('temperatures', request.TEMPERATURES),
    ):
        assert tuple(calibrate[name].choices) == known
    assert tuple(search['fusion'].choices) == FUSIONS and tuple(search['order'].choices) == ORDERS
    assert search['max_stages'].default == MAX_STAGES and search['max_settings'].default == Plan.max_settings
    assert NAMES in search['quality'].help


@pytest.mark.parametrize('seconds', [0.4, 3])
def test_ctrl_c_is_one_line_and_130(tmp_path, seconds):
    """While libraries are imported, and in the middle of the config's program."""
    (tmp_path / 'slow.py').write_text('import time\nprint("here", flush=True)\ntime.sleep(60)\n')
    process = subprocess.Popen(
        [sys.executable, '-m', 'mmcascade', 'test', 'slow.py'],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
    )
    if seconds > 1:
        assert process.stdout.readline() == 'here\n'
    else:
        time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert error.splitlines() == ['interrupted; there are no metrics']
