# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Run mmcascade's tools by name, wherever the package was installed.

``mmcascade test CONFIG`` is ``python tools/test.py CONFIG`` for those who have no checkout of the
repository; ``python -m mmcascade`` is the same command. ``mmcascade list`` names the tools and the
shipped configs, ``mmcascade path`` says in which folder they are.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from mmcascade import __version__
from mmcascade.engine.console.arguments import Parser
from mmcascade.engine.console.commands import (
    CONVERTERS,
    find_configs,
    find_tools,
    help_of,
    parser_of,
    resource_root,
    run,
)

OWN = {
    'data': 'Bring a data set into place: mmcascade data NAME',
    'list': 'Name the tools and the shipped configs',
    'path': 'Print the folder that holds tools/ and configs/',
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line ``argv`` (by default the process's own, without its name)."""
    words = list(sys.argv[1:] if argv is None else argv) or ['--help']
    root = resource_root()
    tools = find_tools(root)
    data = {name: path for name, path in tools.items() if path.parent.name == CONVERTERS}
    command, *rest = words
    if command in ('-h', '--help'):
        _say(_help('mmcascade', {name: path for name, path in tools.items() if name not in data}, OWN))
    elif command in ('-V', '--version'):
        _say(f'mmcascade {__version__}')
    elif command in ('path', 'list') and rest:
        if rest[0] not in ('-h', '--help'):
            raise SystemExit(f'error: mmcascade {command} takes no more words, got {" ".join(rest)}')
        _say(f'usage: mmcascade {command}\n\n{OWN[command]}')
    elif command == 'path':
        _say(str(root))
    elif command == 'list':
        _say('\n'.join(path.relative_to(root).as_posix() for path in (*tools.values(), *find_configs(root))))
    elif command == 'data':
        if not rest or rest[0] in ('-h', '--help'):
            _say(_help('mmcascade data', data, {}))
        else:
            _run('mmcascade data', rest, data)
    elif command in data:  # as such a tool was called before there was `mmcascade data`
        _run('mmcascade data', words, data)
    else:
        _run('mmcascade', words, tools)


def _say(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:  # `mmcascade list | head` has read enough; nothing is to be flushed later, either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(program: str, words: Sequence[str], tools: Mapping[str, Path]) -> None:
    name, *rest = words
    if name not in tools:
        known = [*tools, *OWN]
        close = get_close_matches(name, known, 1)
        hint = f'did you mean {close[0]}?' if close else f'choose from {", ".join(known)}.'
        raise SystemExit(f'error: {program} has no command {name!r}; {hint} See {program} --help')
    subparsers = Parser(prog=program, add_help=False).add_subparsers()
    run(parser_of(tools[name], subparsers).parse_args(rest))


def _help(program: str, tools: Mapping[str, Path], own: Mapping[str, str]) -> str:
    lines = {name: help_of(path) for name, path in tools.items()} | dict(own)
    width = max(map(len, lines))
    listed = '\n'.join(f'  {name:{width}}  {_shortened(text, 76 - width)}' for name, text in sorted(lines.items()))
    more = '' if program != 'mmcascade' else '\n\noptions:\n  -h, --help     this help\n  -V, --version  the version'
    return f'usage: {program} COMMAND [ARGS ...]\n\n{program} COMMAND --help says more.\n\ncommands:\n{listed}{more}'


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3].rstrip() + '...'


if __name__ == '__main__':
    main()
