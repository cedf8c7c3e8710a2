# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Names of a package that are imported when they are first asked for."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mmcascade._system.extras import needed_by


def lazy_names(
    package: str, modules: Mapping[str, Iterable[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package (PEP 562).

    Args:
        package: its ``__name__``.
        modules: per module, relative to the package, the public names that it holds.

    Example:
        ``__getattr__, __dir__ = lazy_names(__name__, {'curves': ['aurc', 'auroc']})``
    """
    home = {name: module for module, names in modules.items() for name in names}

    def find(name: str) -> Any:
        if name not in home:
            raise AttributeError(f'module {package!r} has no attribute {name!r}')
        with needed_by(f'{package}.{name}'):
            value = getattr(importlib.import_module(f'{package}.{home[name]}'), name)
        setattr(sys.modules[package], name, value)
        return value

    return find, lambda: sorted({*vars(sys.modules[package]), *home})
