# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What units carry at an exit: vectors of which only sums matter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

C = TypeVar('C', bound='Carried')


class Carried(ABC):
    """K numbers for each of N units. A variant knows how to add them up without writing all of them out."""

    @property
    @abstractmethod
    def size(self) -> int:
        """K."""

    @abstractmethod
    def select(self: C, rows: NDArray) -> C:
        """What some of the units carry, in the order of ``rows``: indexes, or bool ``(N)``."""

    @abstractmethod
    def less(self: C, before: C) -> C:
        """What changes by going on from ``before`` to here."""

    @abstractmethod
    def histogram(self, place: NDArray[np.int64], places: int) -> NDArray[Any]:
        """The sums over the units in each of so many places, ``(places, K)``.

        Args:
            place: int64 ``(N)``, in which place each unit lies.
            places: their number.
        """

    @abstractmethod
    def weighted(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums over all units, ``(W, K)``, for weights ``(W, N)``."""

    def total(self, units: int) -> NDArray[Any]:
        """The sum over all N units, ``(K)``."""
        return self.histogram(np.zeros(units, np.int64), 1)[0]


@dataclass(frozen=True)
class Dense(Carried):
    """All numbers written out.

    Attributes:
        values: ``(N, K)``, such as whether a prediction is wrong, or pixels per class.
    """

    values: NDArray[Any]

    @property
    def size(self) -> int:
        """K."""
        return self.values.shape[1]

    def select(self, rows: NDArray) -> Dense:
        """What some of the units carry."""
        return Dense(self.values[rows])

    def less(self, before: Dense) -> Dense:
        """What changes by going on from ``before`` to here."""
        return Dense(np.subtract(self.values, before.values, dtype=np.float64))

    def histogram(self, place: NDArray[np.int64], places: int) -> NDArray[np.float64]:
        """The sums over the units in each of so many places, ``(places, K)``."""
        if self.size == 1:
            counts = np.bincount(place, self.values[:, 0], places)  # whole numbers where there is no unit
            return counts.astype(np.float64, copy=False)[:, None]
        sums = np.zeros((places, self.size))
        if len(place):
            order = np.argsort(place, kind='stable')
            found, starts = np.unique(place[order], return_index=True)
            sums[found] = np.add.reduceat(self.values[order], starts, dtype=np.float64)
        return sums

    def total(self, units: int) -> NDArray[Any]:
        """The sum over all N units, ``(K)``."""
        assert len(self.values) == units
        return self.values.sum(0)

    def weighted(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums over all units, ``(W, K)``, for weights ``(W, N)``."""
        return weights @ self.values


@dataclass(frozen=True)
class OneHot(Carried):
    """Whether a unit is accepted, and accepted and wrong, at each of T thresholds: K = 2 T numbers, kept as two.

    Attributes:
        thresholds: T.
        terms: what is added (1) or taken away (-1): the sign, how many of the thresholds each unit reaches, int64
            ``(N)``, and whether it is wrong, bool ``(N)``.
    """

    thresholds: int
    terms: tuple[tuple[int, NDArray[np.int64], NDArray[np.bool_]], ...]

    @property
    def size(self) -> int:
        """K."""
        return 2 * self.thresholds

    def select(self, rows: NDArray) -> OneHot:
        """What some of the units carry."""
        return OneHot(self.thresholds, tuple((sign, bins[rows], wrong[rows]) for sign, bins, wrong in self.terms))

    def less(self, before: OneHot) -> OneHot:
        """What changes by going on from ``before`` to here."""
        return OneHot(self.thresholds, self.terms + tuple((-sign, bins, wrong) for sign, bins, wrong in before.terms))

    def histogram(self, place: NDArray[np.int64], places: int) -> NDArray[np.int32]:
        """The sums over the units in each of so many places, ``(places, K)``."""
        sums = np.zeros((places, self.size), np.int32)
        bins = self.thresholds + 1
        for sign, reached, wrong in self.terms:
            at = place * bins + reached
            for units, columns in ((at, slice(self.thresholds)), (at[wrong], slice(self.thresholds, None))):
                counts = np.bincount(units, minlength=places * bins).reshape(places, bins)
                reaching: NDArray[Any] = np.cumsum(counts[:, :0:-1], axis=1, dtype=np.int32)[:, ::-1]
                sums[:, columns] += sign * reaching
        return sums

    def weighted(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums over all units, ``(W, K)``, for weights ``(W, N)``."""
        written = np.zeros((weights.shape[1], self.size))
        thresholds = np.arange(self.thresholds)
        for sign, reached, wrong in self.terms:
            accepted = sign * (reached[:, None] > thresholds)
            written += np.concatenate([accepted, accepted * wrong[:, None]], 1)
        return weights @ written
