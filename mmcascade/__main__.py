# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Run mmcascade's tools by name, wherever the package was installed.

``mmcascade test CONFIG`` is ``python tools/test.py CONFIG`` for those who have no checkout of the
repository; ``python -m mmcascade`` is the same command. ``mmcascade list`` names the tools and the
shipped configs, ``mmcascade path`` says in which folder they are.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

USAGE = """usage: mmcascade TOOL [ARGS ...]   run a tool, for instance: mmcascade test CONFIG
       mmcascade list              name the tools and the shipped configs
       mmcascade path              print the folder that holds tools/ and configs/"""


def resource_root() -> Path:
    """Find the folder with ``tools/`` and ``configs/``.

    An installed package carries both in its ``.mim`` folder; a checkout, also when it was installed
    with ``pip install -e``, has them beside the package.
    """
    package = Path(__file__).resolve().parent
    installed = package / '.mim'
    return installed if installed.is_dir() else package.parent


def find_tools(root: Path) -> dict[str, Path]:
    """Map the name of every Python tool under ``root`` to its file."""
    return {path.stem: path for path in sorted((root / 'tools').rglob('*.py'))}


def find_configs(root: Path) -> list[Path]:
    """List the runnable configs under ``root``, without the ``_base_`` files they inherit."""
    paths = sorted((root / 'configs').rglob('*.py'))
    return [path for path in paths if '_base_' not in path.relative_to(root).parts]


def main(argv: list[str] | None = None) -> None:
    """Run the command line ``argv`` (by default the process's own, without its name)."""
    command, *args = (sys.argv[1:] if argv is None else argv) or ['--help']
    root = resource_root()
    tools = find_tools(root)
    if command in ('-h', '--help'):
        print(f'{USAGE}\n\ntools: {", ".join(tools)}')
    elif command == 'path':
        print(root)
    elif command == 'list':
        for path in (*tools.values(), *find_configs(root)):
            print(path.relative_to(root).as_posix())
    elif command in tools:
        tool = str(tools[command])
        sys.argv = [tool, *args]
        runpy.run_path(tool, run_name='__main__')
    else:
        raise SystemExit(f'mmcascade: no tool is named {command!r}; choose from {", ".join(tools)}, list, path')


if __name__ == '__main__':
    main()
