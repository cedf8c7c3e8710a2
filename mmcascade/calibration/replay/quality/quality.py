# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How good a cascade is: functions of a sum of what units carry at their exit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmcascade.calibration.replay.routes import Routes
from mmcascade.calibration.replay.units import Exit, Units
from mmcascade.routing.registry import Registry


class Quality(ABC):
    """A number that says how good a cascade is, as a fraction.

    A variant says what a unit carries at its exit, and what the sum over all units is worth.
    """

    #: What it is called, without its target.
    name: ClassVar[str]
    #: The target of an accept threshold that goes with it, 'risk' or 'coverage'; None = it has no target.
    asks: ClassVar[str | None] = None
    higher_is_better: ClassVar[bool] = True
    #: Whether it depends on the scores that are judged, so that sums at some thresholds only estimate it.
    needs_scores: ClassVar[bool] = False
    #: What units are judged by where no scores count; of this a search may keep a least value.
    kind: str = 'accuracy'

    @staticmethod
    def parse(text: str) -> Quality:
        """Read ``'accuracy'``, ``'coverage@risk=0.05'``, ``'risk@coverage=0.8'``, ``'aurc'``, ``'augrc'``, ``'miou'``.

        Raises:
            ValueError: on another name, or a target that is missing, superfluous or no fraction.
        """
        name, equals, value = text.partition('=')
        found = QUALITIES.get(name)
        if found is None or bool(equals) != (found.asks is not None):
            raise ValueError(f'a quality is written {NAMES}, got {text!r}')
        if found.asks is None:
            return found()
        try:
            number = float(value)
        except ValueError:
            raise ValueError(f'the target of a quality is a number, got {text!r}') from None
        return found(number)  # type: ignore[call-arg]

    def __str__(self) -> str:
        return self.name

    def gain(self, value: ArrayLike) -> NDArray[np.float64]:
        """The value with the sign that makes higher better; its own inverse."""
        return np.asarray(value, np.float64) if self.higher_is_better else -np.asarray(value, np.float64)

    @property
    def accept_target(self) -> str | None:
        """What the accept threshold of a cascade is placed for, such as 'risk=0.05'; None where there is none."""
        return None

    def carried(self, exits: Sequence[Exit]) -> list[Exit]:
        """The exits of a chain with what units carry for this quality."""
        return list(exits)

    @property
    def counts(self) -> int:
        """About how many numbers a unit carries, where these are not those of the exits."""
        return 1

    @abstractmethod
    def of(self, sums: NDArray[Any], units: Units) -> NDArray[np.float64]:
        """The quality ``(...)`` of sums ``(..., K)`` over all units; an estimate if it needs scores."""

    @abstractmethod
    def accuracy(self, sums: NDArray[Any], units: Units) -> NDArray[np.float64]:
        """The :attr:`kind` that belongs to the same sums."""

    @abstractmethod
    def measure(self, routes: Routes, groups: NDArray[np.int64] | None = None) -> float:
        """The quality of what a cascade does, exact.

        Args:
            routes: what it does with classified images, or with cells.
            groups: images that count, some perhaps more than once; default all.
        """

    def share_right(self, routes: Routes, groups: NDArray[np.int64] | None = None) -> float:
        """Share of the units that are right, or of the labelled pixels."""
        return float(1 - (routes.wrong if groups is None else routes.wrong[groups]).mean())

    def level(self, routes: Routes) -> float:
        """The :attr:`kind` of what a cascade does."""
        return self.share_right(routes)

    def empty_handed(self, gain: float) -> str | None:
        """Why a cascade of this gain is none at all; None if it is one."""
        del gain
        return None


#: Every quality by its name. ``@QUALITIES.register('name')`` adds one of your own, which is then known to searches.
QUALITIES: Registry[type[Quality]] = Registry('quality')
NAMES = "'accuracy', 'coverage@risk=0.05', 'risk@coverage=0.8', 'aurc' or 'augrc'"
