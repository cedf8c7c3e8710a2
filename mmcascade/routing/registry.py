# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Names for the parts of a cascade, so that a config, a command line or a call can ask for one that a user wrote."""

from __future__ import annotations

import difflib
import types
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, Generic, TypeVar

Part = TypeVar('Part')
Given = TypeVar('Given')

_SCOPE = 'mmcascade.'


class UnknownNameError(KeyError, ValueError):
    """No part is registered under a name; the message has the nearest names that are."""

    def __str__(self) -> str:
        return str(self.args[0])


class Registry(MutableMapping[str, Part], Generic[Part]):
    """The parts of one kind by name: a mapping that refuses a name twice and helps with one that it does not know.

    Args:
        kind: what the parts are, for messages, such as ``'confidence'``.
        instead: what may be given in place of a name, for messages.
        convert: makes a part of (name, what a user registers), and raises TypeError where it cannot; None = taken as it
            is.

    Example:
        >>> GREETINGS = Registry('greeting')
        >>> @GREETINGS.register()
        ... def hello():
        ...     return 'hello'
        >>> GREETINGS['hello']()
        'hello'
        >>> GREETINGS['helo']
        Traceback (most recent call last):
        mmcascade.routing.registry.UnknownNameError: unknown greeting 'helo'; did you mean 'hello'? Known: 'hello'
    """

    def __init__(self, kind: str, instead: str = '', convert: Callable[[str, Any], Part] | None = None) -> None:
        self.kind = kind
        self.instead = instead
        self._convert = convert
        self._parts: dict[str, Part] = {}
        self._followers: list[Callable[[str, Part], None]] = []

    def register(self, name: str | None = None, *, replace: bool = False) -> Callable[[Given], Given]:
        """A decorator that gives a part a name; it hands back what it decorates.

        Args:
            name: None = the ``__name__`` of what is decorated.
            replace: take the name from the part that has it. A module that is read again, as notebooks do, may register
                the same function or class anew without it.

        Raises:
            ValueError: if another part has the name.
            TypeError: if what is decorated is no such part.
        """

        def keep(given: Given) -> Given:
            key = _own_name(given) if name is None else name
            if not replace and key in self._parts and _origin(self._parts[key]) != _origin(self._part(key, given)):
                raise ValueError(
                    f'there is a {self.kind} {key!r} already; choose another name, or say register({key!r}, '
                    'replace=True) to take its place'
                )
            self[key] = given  # type: ignore[assignment]
            return given

        return keep

    def follow(self, follower: Callable[[str, Part], None]) -> None:
        """Call ``follower(name, part)`` for every part, those to come included."""
        self._followers.append(follower)
        for name, part in self._parts.items():
            follower(name, part)

    def build(self, config: Mapping[str, Any]) -> Any:
        """Make an object of a registered class from ``dict(type=NAME, option=...)``; 'mmcascade.NAME' is NAME.

        Raises:
            UnknownNameError: on another name.
            TypeError: if there is no type, or an option that the class does not take.
        """
        options = dict(config)
        kind = options.pop('type', None)
        if not isinstance(kind, str | type):
            example = next(iter(self._parts), 'NAME')
            raise TypeError(f'the config of a {self.kind} has a type, such as dict(type={example!r}), got {config!r}')
        part: Any = self[kind.removeprefix(_SCOPE)] if isinstance(kind, str) else kind
        return part(**options)

    def __getitem__(self, name: str) -> Part:
        try:
            return self._parts[name]
        except (KeyError, TypeError):
            raise UnknownNameError(unknown(self.kind, name, self, self.instead)) from None

    def __setitem__(self, name: str, given: Part) -> None:
        """Register a part, in the place of another one that has the name."""
        if not isinstance(name, str) or not name:
            raise TypeError(f'the name of a {self.kind} is a word, got {name!r}')
        part = self._part(name, given)
        self._parts[name] = part
        for follower in self._followers:
            follower(name, part)

    def __delitem__(self, name: str) -> None:
        del self._parts[name]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._parts

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def __repr__(self) -> str:
        return f'Registry of {self.kind}: {", ".join(self._parts)}'

    def _part(self, name: str, given: Any) -> Part:
        return given if self._convert is None else self._convert(name, given)


def unknown(kind: str, name: object, known: Mapping[str, Any] | list[str], instead: str = '') -> str:
    """The message for a name that nothing has: the nearest ones, then all of them."""
    near = difflib.get_close_matches(str(name), list(known), n=2)
    guess = f'did you mean {" or ".join(map(repr, near))}? ' if near else ''
    everything = ', '.join(map(repr, sorted(known))) or 'none'
    return f'unknown {kind} {name!r}; {guess}Known: {everything}{f", or {instead}" if instead else ""}'


def _own_name(given: object) -> str:
    name = getattr(given, '__name__', None)
    if not isinstance(name, str):
        raise TypeError(f'{given!r} has no name of its own; give it one with register(NAME)')
    return name


def _origin(part: Any) -> object:
    """What tells two parts apart, and not one from itself after its module was read again."""
    source = getattr(part, 'function', part)
    if not isinstance(source, type | types.FunctionType) or '<' in source.__qualname__:
        return id(source)
    return source.__module__, source.__qualname__
