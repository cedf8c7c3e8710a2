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
    inner = getattr(dataset, 'datasets', None)
    inner = [dataset.dataset] if inner is None and hasattr(dataset, 'dataset') else inner
    if inner is None:
        yield dataset
    else:
        for each in inner:
            yield from inner_datasets(each)


def _transforms(dataset: Any) -> Sequence[Any]:
    return getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
