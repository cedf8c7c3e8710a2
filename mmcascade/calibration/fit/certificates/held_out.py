# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Set calibration units aside that nothing is fitted on."""

from __future__ import annotations

import numpy as np


def hold_out(labels: np.ndarray, share: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Divide units at random, with every class in proportion.

    Args:
        labels: int ``(N)``, the true classes.
        share: how much to hold out, in (0, 1).
        seed: another seed holds out other units.

    Returns:
        Indexes of the units to fit on, and of those held out; both ascending.

    Raises:
        ValueError: if the share is out of range or leaves one part empty.
    """
    _check(share)
    # RandomState, since NumPy keeps its streams for good; those of default_rng may change.
    order = np.random.RandomState(seed).permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind='stable')]
    # Every 1/share-th of the list, in which classes lie one after the other.
    steps = np.floor((np.arange(len(labels)) + 0.5) * share)
    chosen = np.diff(steps, append=np.floor((len(labels) + 0.5) * share)) > 0
    if chosen.all() or not chosen.any():
        raise _empty(share, len(labels))
    return np.sort(by_class[~chosen]), np.sort(by_class[chosen])


def hold_out_at_random(units: int, share: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Divide units by a simple random sample, whatever their classes.

    Of units that are independent draws the part held out is so, too, which a guarantee rests on; with every class in
    proportion it would not be.

    Args:
        units: how many there are.
        share, seed: as for :func:`hold_out`, and so is what is returned and raised.
    """
    _check(share)
    order, held = np.random.RandomState(seed).permutation(units), round(units * share)
    if not 0 < held < units:
        raise _empty(share, units)
    return np.sort(order[held:]), np.sort(order[:held])


def _check(share: float) -> None:
    if not 0 < share < 1:
        raise ValueError(f'the share of units to hold out lies strictly between 0 and 1, got {share!r}')


def _empty(share: float, units: int) -> ValueError:
    return ValueError(f'a share of {share} of {units} units leaves one part empty')
