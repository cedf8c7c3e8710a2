# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Data sets that read files, below wrappers and joins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any


def in_distribution(dataset: Any) -> Iterator[Any]:
    """The data sets that read files, without those that are out of distribution."""
    for part in inner_datasets(dataset):
        if not any(type(step).__name__ == 'MarkOOD' for step in _transforms(part)):
            yield part


def inner_datasets(dataset: Any) -> Iterator[Any]:
    """The data sets that read files, below wrappers and joins."""
    inside = wrapped(dataset)
    if not inside:
        yield dataset
    for each in inside:
        yield from inner_datasets(each)


def outside_in(dataset: Any) -> Iterator[Any]:
    """A data set, then what it wraps, or the first of what it joins, and so on."""
    yield dataset
    for each in wrapped(dataset)[:1]:
        yield from outside_in(each)


def wrapped(dataset: Any) -> Sequence[Any]:
    """What a data set wraps or joins; nothing if it reads files."""
    joined = getattr(dataset, 'datasets', None)
    if joined:
        return joined
    return [dataset.dataset] if hasattr(dataset, 'dataset') else []


def _transforms(dataset: Any) -> Sequence[Any]:
    return getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
