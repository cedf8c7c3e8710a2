# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The classes of a data set and those of the members by name: numbers are all that they share."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

_SHOWN = 8


class ClassesError(ValueError):
    """Labels of a data set do not mean what the members mean by them."""


def check_names(own: Sequence[str] | None, names: Sequence[str] | None, number: int | None, where: str) -> None:
    """Refuse classes of a data set that are not the members': by name where both know names, and by number otherwise.

    Args:
        own: what the data set calls its classes, in the order of its labels, if it says so.
        names: the members' classes in order, if they know them.
        number: how many classes the members tell apart, if that is known.
        where: the data set's name in messages, such as its key of the config.

    Raises:
        ClassesError: naming both sides and what to put right.
    """
    if own is not None and names:
        _compare(list(own), list(names), where)
    elif own is not None and number is not None and len(own) != number:
        raise ClassesError(
            f'{where} has {len(own)} classes ({_listed(own)}) and the members tell {number} apart, so its labels '
            f'are numbers of other classes; {_MEND}'
        )


def label_error(image: str, label: int, names: Sequence[str] | None, number: int) -> ClassesError:
    """What is wrong with the label of an image that lies outside of the members' heads."""
    last = f'{number - 1} ({names[number - 1]})' if names else str(number - 1)
    hint = '; do the labels count from 1?' if label == number else ''
    return ClassesError(f'{image} has the label {label}, and the members have {number} classes, 0 to {last}{hint}')


def names_in(meta: Any) -> list[str] | None:
    """What the meta information of a data set calls its classes, in the order of its labels; None if it does not."""
    found = meta.get('classes') if isinstance(meta, Mapping) else None
    if found is None or isinstance(found, str) or not all(isinstance(name, str) for name in found):
        return None
    return list(found) or None


def check_given_names(given: Sequence[str], names: Sequence[str] | None, number: int | None) -> None:
    """Refuse names for the members' classes that are too few, too many, or those of the members in another order.

    Args:
        given: by the user, to be shown in place of the members' own.
        names: the members' classes in order, if they know them.
        number: how many classes the members tell apart, if that is known.

    Raises:
        ClassesError: naming both sides.
    """
    number = len(names) if names else number
    if number is not None and len(given) != number:
        raise ClassesError(f'{len(given)} class names were given ({_listed(given)}), and the members have {number}')
    if names and sorted(map(_plain, given)) == sorted(map(_plain, names)):
        _compare(list(given), list(names), 'classes=')


_MEND = (
    'every class needs a folder, if an empty one, and no other folder may stand beside them; or give the data set an '
    'ann_file with the labels, or classes=[...] in the order of its labels'
)


def _compare(own: list[str], names: list[str], where: str) -> None:
    here, there = [_plain(name) for name in own], [_plain(name) for name in names]
    if here == there:
        return
    missing = [name for name, plain in zip(names, there, strict=True) if plain not in here]
    stray = [name for name, plain in zip(own, here, strict=True) if plain not in there]
    if not missing and not stray and len(own) == len(names):
        first = next(k for k, (a, b) in enumerate(zip(here, there, strict=True)) if a != b)
        raise ClassesError(
            f"{where} has the members' classes in another order: class {first} is {own[first]!r} there and "
            f'{names[first]!r} for the members. If its labels follow the order of the members, give it '
            f'metainfo=dict(classes={_listed(names)}); if not, number them in that order'
        )
    if len(own) == len(names) and _only_spelling(here, there):
        warnings.warn(
            f'{where} and the members spell some classes differently, such as {stray[0]!r} and {missing[0]!r}; they '
            'are taken for the same',
            stacklevel=5,
        )
        return
    if len(own) == len(names) and len(missing) == len(names):
        raise ClassesError(
            f"none of the classes of {where} ({_listed(own)}) is among the members' ({_listed(names)}). If these are "
            f'other names for the same classes in the same order, give the data set metainfo=dict(classes=[...]) with '
            'the names of the members, or one member classes=[...] with those of the data set'
        )
    found = [f'{where} has {len(own)} classes and the members {len(names)}']
    if missing:
        found.append(f'it lacks {_listed(missing)}')
    if stray:
        found.append(f'the members do not know its {_listed(stray)}')
    raise ClassesError(f'{"; ".join(found)}. So its labels are numbers of other classes: {_MEND}')


def _only_spelling(here: list[str], there: list[str]) -> bool:
    """Whether most names agree at their place, and none stands at the place of another."""
    differing = [(a, b) for a, b in zip(here, there, strict=True) if a != b]
    elsewhere = any(a in there or b in here for a, b in differing)
    return not elsewhere and 2 * len(differing) < len(here)


def _plain(name: str) -> str:
    return name.strip().casefold()


def _listed(names: Sequence[str]) -> str:
    shown = ', '.join(repr(name) for name in names[:_SHOWN])
    return f'[{shown}{", ..." if len(names) > _SHOWN else ""}]'
