# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The tools by name, and how one of them runs."""

from __future__ import annotations

import argparse
import ast
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

from mmcascade.engine.console.arguments import Subparsers, first_line
from mmcascade.engine.console.errors import one_line_errors

MakeParser = Callable[..., argparse.ArgumentParser]
#: The folder of the tools that bring data into place, which are commands of ``mmcascade data``.
CONVERTERS = 'dataset_converters'


def main(make_parser: MakeParser, argv: Sequence[str] | None = None) -> None:
    """Run a tool as a script."""
    run(make_parser().parse_args(argv))


def run(args: argparse.Namespace) -> None:
    """Run the tool whose parser made these arguments; its errors end the program with one line."""
    with one_line_errors(interrupted=args.interrupted):
        from mmcascade._system.quiet import quiet_libraries

        quiet_libraries()
        args.run(args)


def resource_root() -> Path:
    """Find the folder with ``tools/`` and ``configs/``.

    An installed package carries both in its ``.mim`` folder; a checkout, also when it was installed with
    ``pip install -e``, has them beside the package.
    """
    package = Path(__file__).resolve().parents[2]
    installed = package / '.mim'
    return installed if installed.is_dir() else package.parent


def find_tools(root: Path) -> dict[str, Path]:
    """Map the name of every Python tool under ``root`` to its file."""
    return {path.stem: path for path in sorted((root / 'tools').rglob('*.py'))}


def find_configs(root: Path) -> list[Path]:
    """List the runnable configs under ``root``, without the ``_base_`` files they inherit."""
    paths = sorted((root / 'configs').rglob('*.py'))
    return [path for path in paths if '_base_' not in path.relative_to(root).parts]


def help_of(tool: Path) -> str:
    """One line about a tool, from its docstring; nothing of it is run."""
    return first_line(ast.get_docstring(ast.parse(tool.read_text())))


def parser_of(tool: Path, subparsers: Subparsers = None) -> argparse.ArgumentParser:
    """The parser of a tool, as a command of its own or as one of ``mmcascade``."""
    spec = importlib.util.spec_from_file_location(f'mmcascade_tools_{tool.stem}', tool)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.parser(subparsers)
