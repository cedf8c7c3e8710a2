# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Reading fields of a JSON object that may come from anybody: every wrong one is an error that names it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from mmcascade.runtime.errors import BundleError

#: The largest magnitude of a number in a bundle.
BOUND = 1e30
_REQUIRED = object()


class Fields:
    """A JSON object, read field by field.

    Args:
        data: what stands there.
        where: how errors call it, such as ``cascade.json: stages[1]``.

    Attributes:
        data: the object as it stands there.

    Raises:
        BundleError: if it is no object.
    """

    def __init__(self, data: object, where: str) -> None:
        if not isinstance(data, Mapping):
            raise BundleError(f'{where} is an object, {{...}}, got {short(data)}')
        self.data = data
        self.where = where

    def __contains__(self, name: str) -> bool:
        return self.data.get(name) is not None

    def wrong(self, name: str, expected: str) -> BundleError:
        """The error for a field that is there but is not what was expected."""
        return BundleError(f'{self.where}: {name} is {expected}, got {short(self.data.get(name))}')

    def text(self, name: str, default: Any = _REQUIRED, choices: tuple[str, ...] = ()) -> str:
        """A string, one of ``choices`` where there are any."""
        value = self._get(name, default)
        if not is_text(value) or (choices and value not in choices):
            raise self.wrong(name, f'one of {", ".join(map(repr, choices))}' if choices else 'a string')
        return value

    def whole(self, name: str, least: int, most: int, default: Any = _REQUIRED) -> int:
        """A whole number within bounds, both included."""
        value = self._get(name, default)
        if not is_whole(value) or not least <= value <= most:
            raise self.wrong(name, f'a whole number from {least} to {most}')
        return value

    def flag(self, name: str) -> bool:
        """True or false; false where it is missing."""
        value = self._get(name, False)
        if not isinstance(value, bool):
            raise self.wrong(name, 'true or false')
        return value

    def number(self, name: str, default: Any = _REQUIRED, least: float = -BOUND, most: float = BOUND) -> float:
        """A number within bounds, both included."""
        value = self._get(name, default)
        if not is_bounded(value) or not least <= value <= most:
            raise self.wrong(name, f'a number from {least:g} to {most:g}')
        return float(value)

    def optional_number(self, name: str) -> float | None:
        """A finite number, or None where there is none."""
        return self.number(name) if name in self else None

    def items(self, name: str, length: int | None = None, most: int = 100_000) -> list[Any]:
        """A list, of ``length`` entries where that is given."""
        value = self._get(name, _REQUIRED)
        if not isinstance(value, list) or len(value) > most or (length is not None and len(value) != length):
            raise self.wrong(name, 'a list' + ('' if length is None else f' of {length} entries'))
        return value

    def objects(self, name: str, most: int = 1000) -> Iterator[Fields]:
        """The objects of a list."""
        for index, entry in enumerate(self.items(name, most=most)):
            yield Fields(entry, f'{self.where}: {name}[{index}]')

    def object(self, name: str) -> Fields:
        """An object inside."""
        return Fields(self._get(name, _REQUIRED), f'{self.where}: {name}')

    def _get(self, name: str, default: Any) -> Any:
        value = self.data.get(name)
        if value is None:
            if default is _REQUIRED:
                raise BundleError(f'{self.where}: {name} is missing')
            return default
        return value


def is_text(value: object) -> TypeGuard[str]:
    """Whether a value of JSON is a string that can be written: half a surrogate pair cannot."""
    return isinstance(value, str) and (value.isascii() or not any('\ud800' <= x <= '\udfff' for x in value))


def is_whole(value: object) -> bool:
    """Whether a value of JSON is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_bounded(value: object) -> bool:
    """Whether a value of JSON is a number that stays finite as a float32."""
    return not isinstance(value, bool) and isinstance(value, (int, float)) and abs(value) <= BOUND


def short(value: object) -> str:
    """A value of JSON for an error, at most 80 characters of it."""
    text = repr(value) if not isinstance(value, (dict, list)) or len(value) < 10 else f'{type(value).__name__} of many'
    return text if len(text) <= 80 else text[:77] + '...'
