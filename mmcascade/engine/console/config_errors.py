# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What is wrong in a config, from the error that the libraries raise when they build its parts."""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from types import FrameType
from typing import Any

#: Files of the libraries in which a config becomes objects, and the names of functions there that do it.
_BUILDING = (
    (r'mmengine/registry/build_functions\.py$', r'.*'),
    (r'mmengine/runner/(runner|loops|base_loop)\.py$', r'from_cfg|build_.*|__init__|setup_env|test_loop|train_loop'),
    (r'mmengine/config/', r'.*'),
    (r'mmengine/evaluator/', r'.*'),
    (r'mmcascade/engine/configs/', r'.*'),
)
_UNKNOWN_KEYWORD = re.compile(r"got an unexpected keyword argument '(\w+)'")
_UNKNOWN_TYPE = re.compile(r'^"?(\S+) is not in the \S+ registry')
_MISSING = re.compile(r'missing \d+ required (?:positional|keyword-only) arguments?: (.*)$')


def config_error(error: BaseException) -> str | None:
    """What to tell the user, or None if no config was read and nothing was built when the error came."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if not any(_is_building(frame) for frame in frames):
        return None
    built = next((frame.f_locals for frame in reversed(frames) if frame.f_code.co_name == 'build_from_cfg'), None)
    message = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if built is not None:
        found = _of_keyword(message, built) or _of_type(message, built)
        if found is not None:
            return found
    name = _name(built)
    where = f'{name} cannot be built from the config: ' if name else 'the config does not fit: '
    return f'{where}{type(error).__name__}: {message}'


def nearest(name: str, known: Sequence[str]) -> str:
    """A question for the known name that is most like another, or nothing if none is.

    Example:
        >>> nearest('polcy', ['policy', 'fusion'])
        "; did you mean 'policy'?"
    """
    close = get_close_matches(name, known, 1)
    return f'; did you mean {close[0]!r}?' if close else ''


def _is_building(frame: FrameType) -> bool:
    file, name = frame.f_code.co_filename.replace('\\', '/'), frame.f_code.co_name
    return any(re.search(path, file) and re.fullmatch(names, name) for path, names in _BUILDING)


def _of_keyword(message: str, built: Mapping[str, Any]) -> str | None:
    kind = built.get('obj_cls')
    if kind is None:
        return None
    known = _keywords(kind)
    if found := _UNKNOWN_KEYWORD.search(message):
        if found[1] not in built.get('args', {}):  # passed on by the type's own code
            return None
        listed = f'; it takes {", ".join(known)}' if known else ''
        return f'{kind.__name__} has no argument {found[1]!r}{nearest(found[1], known) or listed}'
    if found := _MISSING.search(message):
        return f'{kind.__name__} lacks {found[1]} in the config'
    return None


def _keywords(kind: Any) -> list[str]:
    """Of a type and of those it passes its keywords on to."""
    names: dict[str, None] = {}
    for base in inspect.getmro(kind) if inspect.isclass(kind) else [kind]:
        try:
            parameters = inspect.signature(base).parameters.values()
        except (TypeError, ValueError):
            break
        names |= dict.fromkeys(p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD))
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return [name for name in names if name not in ('self', 'args', 'kwargs')]


def _of_type(message: str, built: Mapping[str, Any]) -> str | None:
    registry = built.get('registry')
    if found := _UNKNOWN_TYPE.search(message):
        known = _types(registry)
        short = found[1].rpartition('.')[2]
        by_short = {name.rpartition('.')[2]: name for name in known}
        close = get_close_matches(short, by_short, 1)
        what = getattr(registry, 'name', 'type')
        hint = f'; did you mean {by_short[close[0]]!r}?' if close else '; is the module that registers it imported?'
        return f'there is no {what} named {found[1]!r}{hint}'
    if 'must contain the key "type"' in message:
        given = built.get('cfg')
        keys = (', '.join(map(str, given)) if isinstance(given, Mapping) else repr(given)) or 'nothing'
        part = getattr(registry, 'name', 'part')
        return f"a dict for a {part} lacks type='...' in the config; it has {keys}"
    return None


def _types(registry: Any) -> list[str]:
    """What a registry, its parents and their children know, as it is written in a config."""
    if registry is None:
        return []
    root = registry
    while root.parent is not None:
        root = root.parent
    found = list(root.module_dict)
    for scope, child in root.children.items():
        found += [f'{scope}.{name}' for name in child.module_dict]
    return found


def _name(built: Mapping[str, Any] | None) -> str:
    if built is None:
        return ''
    kind = built.get('obj_cls') or built.get('obj_type') or ''
    return kind if isinstance(kind, str) else getattr(kind, '__name__', '')
