# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The classes of a data set against those of the members, which only share numbers with each other."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

_SHOWN = 8


class ClassesError(ValueError):
    """Labels of a data set do not mean what the members mean by them."""


def check_classes(
    dataset: Any, names: Sequence[str] | None, number: int | None, where: str = 'test_dataloader.dataset'
) -> None:
    """Refuse a data set whose labels are not the members' classes.

    They are compared by name where both know names, and by number otherwise; and no label may lie outside of the
    members' heads. Data sets that are marked as out of distribution have classes of their own, and are left out.

    Args:
        dataset: built; wrappers and joined data sets are looked into.
        names: the members' classes in order, if they know them.
        number: how many classes the members tell apart, if that is known.
        where: the config's key of the data set, for messages.

    Raises:
        ClassesError: naming both sides and what to put right.
    """
    number = len(names) if names else number
    for part in parts(dataset):
        own = class_names(part)
        if own is not None and names:
            _check_names(own, list(names), where)
        elif own is not None and number is not None and len(own) != number:
            raise ClassesError(
                f'{where} has {len(own)} classes ({_listed(own)}) and the members tell {number} apart, so its labels '
                f'are numbers of other classes; {_MEND}'
            )
        if number is not None:
            _check_labels(part, number, names, where)


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
        _check_names(list(given), list(names), 'classes=')


def parts(dataset: Any) -> Iterator[Any]:
    """The data sets that read files, without those that are out of distribution."""
    for part in inner_datasets(dataset):
        if not any(type(step).__name__ == 'MarkOOD' for step in _transforms(part)):
            yield part


def inner_datasets(dataset: Any) -> Iterator[Any]:
    """The data sets that read files, below wrappers and joins."""
    inner = getattr(dataset, 'datasets', None)
    inner = [dataset.dataset] if inner is None and hasattr(dataset, 'dataset') else inner
    if inner is None:
        yield dataset
    else:
        for each in inner:
            yield from inner_datasets(each)


def class_names(dataset: Any) -> list[str] | None:
    """What a data set calls its classes, in the order of its labels; None if it does not say."""
    meta = getattr(dataset, 'metainfo', None)
    found = meta.get('classes') if isinstance(meta, dict) else None
    if found is None or isinstance(found, str) or not all(isinstance(name, str) for name in found):
        return None
    return list(found) or None


_MEND = (
    'every class needs a folder, if an empty one, and no other folder may stand beside them; or give the data set an '
    'ann_file with the labels, or classes=[...] in the order of its labels'
)


def _check_names(own: list[str], names: list[str], where: str) -> None:
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
            stacklevel=4,
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


def _check_labels(part: Any, number: int, names: Sequence[str] | None, where: str) -> None:
    if not callable(getattr(part, 'get_data_info', None)):
        return
    for index in range(len(part)):
        info = part.get_data_info(index)
        label = info.get('gt_label')
        if label is None or not _is_whole(label):
            return  # several labels an image, or none: nothing that a head numbers
        if not 0 <= int(label) < number:
            image = info.get('img_path', f'image {index}')
            last = f'{number - 1} ({names[number - 1]})' if names else str(number - 1)
            hint = '; do the labels count from 1?' if int(label) == number else ''
            raise ClassesError(
                f'{image} of {where} has the label {label}, and the members have {number} classes, 0 to {last}{hint}'
            )


def _is_whole(label: Any) -> bool:
    if isinstance(label, bool):
        return False
    try:
        return int(label) == label
    except (TypeError, ValueError):
        return False


def _transforms(dataset: Any) -> Sequence[Any]:
    return getattr(getattr(dataset, 'pipeline', None), 'transforms', ())


def _plain(name: str) -> str:
    return name.strip().casefold()


def _listed(names: Sequence[str]) -> str:
    shown = ', '.join(repr(name) for name in names[:_SHOWN])
    return f'[{shown}{", ..." if len(names) > _SHOWN else ""}]'
