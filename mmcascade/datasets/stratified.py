# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Draws in which every class has its share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def stratified_indices(labels: Sequence[Any] | np.ndarray, num: int, seed: int = 0, kind: str = 'class') -> np.ndarray:
    """Draw ``num`` samples with every class in proportion.

    Of the n_c samples of class c, among n in all, num * n_c / n are drawn, rounded by largest
    remainders so that the sum is exactly ``num`` (of equal remainders the lower label's goes
    first). The draw depends on the arguments only.

    Args:
        labels: The class of each sample.
        num: How many to draw, at least one and not all of them.
        seed: Another seed draws other samples; in [0, 2 ** 32).
        kind: What the labels are, for the message.

    Returns:
        Indices of the drawn samples, int64, ascending.

    Raises:
        ValueError: If a class is too small to have a sample on both sides.

    Example:
        >>> labels = [0, 1, 1, 0, 1, 1]
        >>> sorted(labels[i] for i in stratified_indices(labels, num=3))
        [0, 1, 1]
    """
    classes, members, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    total, quotas = len(members), _quotas(sizes, num)
    for label, size, quota in zip(classes, sizes, quotas, strict=True):
        if not 0 < quota < size:
            raise ValueError(
                f'{kind} {label} is too small to be split: of its {size} sample(s), {quota} would '
                f'go to the calibration part ({num} of {total} samples in all), and each part '
                f"needs at least one. Change fraction= or num=, divide such ones together (rare='together'), or leave "
                f'the {kind} out'
            )
    return _drawn(members, sizes, quotas, seed)


def indices_with_rare(labels: Sequence[Any] | np.ndarray, num: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The same where classes may be too small to be in both parts: these are divided as if they were one class.

    Args:
        labels: The class of each sample.
        num: How many to draw, at least one and not all of them.
        seed: Another seed draws other samples; in [0, 2 ** 32).

    Returns:
        Indices of the drawn samples, int64, ascending, and the classes that were too small.

    Example:
        >>> drawn, rare = indices_with_rare([0, 0, 0, 0, 1, 2], num=3)
        >>> len(drawn), rare.tolist()
        (3, [1, 2])
    """
    classes, members = np.unique(labels, return_inverse=True)
    rare = np.zeros(len(classes), np.bool_)
    while True:
        together = np.where(rare[members], len(classes), members)
        kept, members_now, sizes = np.unique(together, return_inverse=True, return_counts=True)
        quotas = _quotas(sizes, num)
        # What is joined takes its share of the draw with it, so that others can become too small.
        small = ((quotas == 0) | (quotas == sizes)) & (kept < len(classes))
        if not small.any():
            return _drawn(members_now, sizes, quotas, seed), classes[rare]
        rare[kept[small]] = True


def _quotas(sizes: np.ndarray, num: int) -> np.ndarray:
    """How many of each class are drawn."""
    quotas, remainders = np.divmod(num * sizes, sizes.sum())
    quotas[np.argsort(-remainders, kind='stable')[: num - quotas.sum()]] += 1
    return quotas


def _drawn(members: np.ndarray, sizes: np.ndarray, quotas: np.ndarray, seed: int) -> np.ndarray:
    total = len(members)
    # RandomState, since NumPy keeps its streams for good; those of default_rng may change.
    order = np.random.RandomState(seed).permutation(total)
    by_class = order[np.argsort(members[order], kind='stable')]
    rank = np.arange(total) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.sort(by_class[rank < np.repeat(quotas, sizes)])
