# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What imports what, read from source files without running them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path

Graph = dict[str, set[str]]


def modules_of(package: Path) -> dict[str, Path]:
    """Every module of a package by its dotted name; a package's own name stands for its ``__init__``."""
    found = {}
    for path in sorted(package.rglob('*.py')):
        parts = path.relative_to(package.parent).with_suffix('').parts
        found['.'.join(parts[:-1] if parts[-1] == '__init__' else parts)] = path
    return found


def imports_of(package: Path) -> Graph:
    """What each module of a package imports, at any depth of its code: names of its own modules, and other libraries.

    Of another library only the first part of the name counts.
    """
    modules = modules_of(package)
    return {name: set(_imports(name, path, modules)) - {name} for name, path in modules.items()}


def circles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """The groups of modules that import each other in a loop, each in order of names."""
    reach: dict[str, set[str]] = {}
    for name in graph:
        seen: set[str] = set()
        waiting = [name]
        while waiting:
            for other in graph.get(waiting.pop(), ()):
                if other not in seen:
                    seen.add(other)
                    waiting.append(other)
        reach[name] = seen
    groups = {
        tuple(sorted({name, *(other for other in reach[name] if name in reach.get(other, ()))}))
        for name in graph
        if name in reach[name]
    }
    return [list(group) for group in sorted(groups)]


def _imports(name: str, path: Path, modules: Mapping[str, Path]) -> Iterable[str]:
    root = name.partition('.')[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, name, path)
            wanted = [whole if (whole := f'{base}.{alias.name}') in modules else base for alias in node.names]
        else:
            continue
        yield from (each if each.partition('.')[0] == root else each.partition('.')[0] for each in wanted)


def _base(node: ast.ImportFrom, name: str, path: Path) -> str:
    """The module that a ``from`` names, with the dots of a relative one resolved."""
    if not node.level:
        return node.module or ''
    parts = name.split('.')
    own = parts if path.name == '__init__.py' else parts[:-1]
    return '.'.join([*own[: len(own) - node.level + 1], *([node.module] if node.module else [])])
