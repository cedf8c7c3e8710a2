# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What imports what, read from source files without running them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

Graph = dict[str, set[str]]
#: When an import runs: as its module is loaded, in a function that is called, or only for those who read types.
LOADED, CALLED, TYPED = 'loaded', 'called', 'typed'


class Import(NamedTuple):
    """A module that imports another one of its package, or another library, of which the first part of the name counts.

    Attributes:
        name: who imports.
        other: what is imported.
        when: one of :data:`LOADED`, :data:`CALLED` and :data:`TYPED`.
    """

    name: str
    other: str
    when: str


class Circle(NamedTuple):
    """Files and folders that lie beside each other and import each other, directly or through others beside them.

    Attributes:
        folder: in which they lie.
        siblings: their names.
        imports: between them.
    """

    folder: str
    siblings: tuple[str, ...]
    imports: tuple[Import, ...]

    def __str__(self) -> str:
        lines = [f'  {each.name} -> {each.other} ({each.when})' for each in self.imports]
        return '\n'.join([f'{self.folder}: {", ".join(self.siblings)} import each other', *lines])


def modules_of(package: Path) -> dict[str, Path]:
    """Every module of a package by its dotted name; a package's own name stands for its ``__init__``."""
    found = {}
    for path in sorted(package.rglob('*.py')):
        parts = path.relative_to(package.parent).with_suffix('').parts
        found['.'.join(parts[:-1] if parts[-1] == '__init__' else parts)] = path
    return found


def imports_in(package: Path) -> list[Import]:
    """Every import in a package, at any depth of its code."""
    modules = modules_of(package)
    found = {each for name, path in modules.items() for each in _imports(name, path, modules) if each.other != name}
    return sorted(found)


def imports_of(imports: Iterable[Import]) -> Graph:
    """What each module imports: names of modules of its package, and other libraries."""
    graph: Graph = {}
    for each in imports:
        graph.setdefault(each.name, set()).add(each.other)
    return graph


def sibling_circles(imports: Iterable[Import]) -> list[Circle]:
    """Where what lies beside each other in a folder imports each other, seen from that folder and at every depth.

    A folder stands for all modules in it, so two folders may be in a circle of which no two modules are.
    """
    imports = sorted(imports)
    parents = {
        '.'.join(parts[:end]) for each in imports for parts in [each.name.split('.')] for end in range(1, len(parts))
    }
    found = []
    for folder in sorted(parents):
        between = {each: pair for each in imports if (pair := _siblings(each, folder)) is not None}
        graph: Graph = {}
        for here, there in between.values():
            graph.setdefault(here, set()).add(there)
        for group in circles(graph):
            inside = tuple(each for each, pair in between.items() if set(pair) <= set(group))
            found.append(Circle(folder, tuple(group), inside))
    return found


def _siblings(each: Import, folder: str) -> tuple[str, str] | None:
    """Which two entries of a folder an import is between; None if it is not between two of them."""
    start = f'{folder}.'
    if not (each.name.startswith(start) and each.other.startswith(start)):
        return None
    here, there = (name[len(start) :].partition('.')[0] for name in each[:2])
    return None if here == there else (here, there)


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


def _imports(name: str, path: Path, modules: Mapping[str, Path]) -> Iterator[Import]:
    root = name.partition('.')[0]
    for node, when in _statements(ast.parse(path.read_text()), LOADED):
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        else:
            base = _base(node, name, path)
            wanted = [whole if (whole := f'{base}.{alias.name}') in modules else base for alias in node.names]
        for each in wanted:
            first = each.partition('.')[0]
            yield Import(name, each if first == root else first, when)


def _statements(tree: ast.AST, when: str) -> Iterator[tuple[ast.Import | ast.ImportFrom, str]]:
    """The imports below a node, with when they run."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node, when
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith('TYPE_CHECKING'):
            yield from _statements(node, TYPED)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and when == LOADED:
            yield from _statements(node, CALLED)
        else:
            yield from _statements(node, when)


def _base(node: ast.ImportFrom, name: str, path: Path) -> str:
    """The module that a ``from`` names, with the dots of a relative one resolved."""
    if not node.level:
        return node.module or ''
    parts = name.split('.')
    own = parts if path.name == '__init__.py' else parts[:-1]
    return '.'.join([*own[: len(own) - node.level + 1], *([node.module] if node.module else [])])
