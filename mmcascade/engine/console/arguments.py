# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Parsers of the tools, and the flags that several of them have."""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

RESUMES = 'the same command continues where it stopped'

#: What ``argparse.ArgumentParser.add_subparsers`` gives.
Subparsers = Any
Run = Callable[[argparse.Namespace], Any]


class _Help(argparse.HelpFormatter):
    """Fills the paragraphs of a docstring to the width of the terminal; what is indented stays as it is."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = [
            block if '\n    ' in block else textwrap.fill(' '.join(block.split()), width)
            for block in text.strip().split('\n\n')
        ]
        return '\n\n'.join(paragraphs)


class Parser(argparse.ArgumentParser):
    """An argument parser that takes flags and positional arguments in any order, and knows what was mistyped."""

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """The namespace; ends the program with usage and error where the arguments are wrong."""
        words = sys.argv[1:] if args is None else list(args)
        if {'-h', '--help'} & set(words):  # while they are intermixed, positional arguments have no defaults to show
            self.print_help()
            self.exit()
        self._words = words
        found, unknown = self.parse_known_intermixed_args(words, namespace)
        if unknown:
            self.error(self._unknown(unknown[0]))
        return found

    def _unknown(self, word: str) -> str:
        flag = word.partition('=')[0]
        close = get_close_matches(flag, self._option_string_actions, 1) if flag.startswith('-') else []
        hint = f'; did you mean {close[0]}?' if close else ''
        return f'unknown argument {word!r}{hint}'

    def error(self, message: str) -> NoReturn:
        """Print the usage and the error; exit with 2."""
        if 'arguments are required' in message:  # maybe one is there, but mistyped
            flags = [word for word in getattr(self, '_words', ()) if word.startswith('--')]
            mistyped = [word for word in flags if word.partition('=')[0] not in self._option_string_actions]
            close = [word for word in mistyped if get_close_matches(word, self._option_string_actions, 1)]
            message = self._unknown(close[0]) if close else message
        self.print_usage()
        self.exit(2, f'error: {message}\n')

    def print_usage(self, file: Any = None) -> None:
        """To the error stream: only help is output."""
        super().print_usage(file or sys.stderr)


def command(
    name: str, doc: str | None, run: Run, subparsers: Subparsers = None, interrupted: str = RESUMES
) -> argparse.ArgumentParser:
    """The parser of a tool.

    Args:
        name: of the command, ``mmcascade NAME``.
        doc: the tool's docstring; its first line is the help in the list of commands.
        run: the one call that follows; takes the parsed arguments.
        subparsers: of ``mmcascade``, where the tool is one of its commands; None makes a parser of its own.
        interrupted: what to say after Ctrl-C.
    """
    doc = doc or ''
    form: dict[str, Any] = dict(description=doc, formatter_class=_Help)
    made = Parser(**form) if subparsers is None else subparsers.add_parser(name, help=first_line(doc), **form)
    made.set_defaults(run=run, interrupted=interrupted)
    return made


def first_line(doc: str | None) -> str:
    """The first line of a docstring without its full stop."""
    return (doc or '').strip().partition('\n')[0].removesuffix('.')


def add_config(parser: argparse.ArgumentParser, what: str = 'config of the cascade') -> None:
    """The config of what is run, and the settings of it that the command line overrides."""
    parser.add_argument('config', help=f'{what}; a config is a program, so read it before you run it')
    add_cfg_options(parser)


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Settings of a config that the command line overrides: pairs that :func:`~.read_config` takes."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        metavar='KEY=VALUE',
        action='extend',
        help='override settings, such as test_dataloader.batch_size=64 or key="[a,b]"',
    )


def add_amp(parser: argparse.ArgumentParser) -> None:
    """Mixed precision."""
    parser.add_argument('--amp', action='store_true', help='run the members in mixed precision')


def add_runtime(parser: argparse.ArgumentParser) -> None:
    """What runs the members."""
    parser.add_argument(
        '--runtime',
        metavar='NAME',
        help='what runs the members of all stages: torch, onnxruntime, openvino, or with a precision, such as '
        'openvino:bfloat16 (default: runtime= of each stage in the config, else torch)',
    )


def add_verbose(parser: argparse.ArgumentParser) -> None:
    """MMEngine's log on the terminal."""
    parser.add_argument('-v', '--verbose', action='store_true', help="show MMEngine's log, which is in the file anyway")


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """How processes of a distributed run find each other, as MM's own tools are told."""
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def use_local_rank(args: argparse.Namespace) -> None:
    """Tell MMEngine the rank that an old launcher gives as a flag."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))


def whole_number(text: str) -> int:
    """The type of a flag that is at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f'is at least 1, got {text}')
    return number


whole_number.__name__ = 'whole number'  # argparse names it where a text is no number
