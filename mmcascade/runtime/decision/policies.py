# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Who goes on, in numpy: the counterpart of :mod:`mmcascade.routing.policies`.

Scores are float32, and bounds are compared in their precision, as torch does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmcascade.runtime.decision.fusion import Floats
from mmcascade.runtime.fields import Fields, is_bounded

Window = tuple[float | None, float | None]


class Policy(ABC):
    """One rule per gap, None where nobody goes on; a variant says who goes on by an open rule."""

    @abstractmethod
    def is_closed(self, gap: int) -> bool:
        """Whether nobody goes on in this gap."""

    @abstractmethod
    def go_on(self, gap: int, confidence: Floats, unit: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Who goes on, ``(N)``; ``unit`` is the running number of each image."""

    def bounds(self, gap: int) -> tuple[float, ...]:
        """What confidences are compared with in an open gap."""
        del gap
        return ()


@dataclass(frozen=True)
class Windows(Policy):
    """Images whose confidence lies in a window go on; both ends belong to it, None is an open end."""

    windows: tuple[Window | None, ...]

    @classmethod
    def read(cls, fields: Fields, gaps: int) -> Windows:
        """Read its own fields, and refuse what is missing, of another kind or out of range."""
        windows: list[Window | None] = []
        for window in fields.items('windows', gaps):
            if window is None:
                windows.append(None)
                continue
            if not isinstance(window, list) or len(window) != 2 or not all(x is None or is_bounded(x) for x in window):
                raise fields.wrong('windows', 'a list of [low, high] or null, one per gap, with null for an open end')
            low, high = window
            if low is not None and high is not None and low > high:
                raise fields.wrong('windows', 'a list of windows whose low end is at most the high one')
            windows.append((low, high))
        return cls(tuple(windows))

    def is_closed(self, gap: int) -> bool:
        """Whether nobody goes on in this gap, whatever the scores."""
        return self.windows[gap] is None

    def go_on(self, gap: int, confidence: Floats, unit: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Who goes on, bool ``(N)``; see the base class."""
        low, high = self.windows[gap] or (None, None)
        going = np.ones(len(confidence), bool)
        if low is not None:
            going &= confidence >= np.float32(low)
        if high is not None:
            going &= confidence <= np.float32(high)
        return going

    def bounds(self, gap: int) -> tuple[float, ...]:
        """Both ends of the window."""
        return tuple(bound for bound in self.windows[gap] or () if bound is not None)


@dataclass(frozen=True)
class Thresholds(Policy):
    """Images no more confident than a threshold go on."""

    thresholds: tuple[float | None, ...]

    @classmethod
    def read(cls, fields: Fields, gaps: int) -> Thresholds:
        """Read its own fields, and refuse what is missing, of another kind or out of range."""
        values = fields.items('thresholds', gaps)
        if not all(value is None or is_bounded(value) for value in values):
            raise fields.wrong('thresholds', 'a list of finite numbers or null, one per gap')
        return cls(tuple(values))

    def is_closed(self, gap: int) -> bool:
        """Whether nobody goes on in this gap, whatever the scores."""
        return self.thresholds[gap] is None

    def go_on(self, gap: int, confidence: Floats, unit: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Who goes on, bool ``(N)``; see the base class."""
        threshold = self.thresholds[gap]
        assert threshold is not None  # or else the gap is closed
        return confidence <= np.float32(threshold)

    def bounds(self, gap: int) -> tuple[float, ...]:
        """The threshold."""
        threshold = self.thresholds[gap]
        return () if threshold is None else (threshold,)


@dataclass(frozen=True)
class Shares(Policy):
    """A fixed random share goes on, whatever the confidence, drawn by (seed, gap, running number)."""

    rates: tuple[float | None, ...]
    seed: int = 0

    @classmethod
    def read(cls, fields: Fields, gaps: int) -> Shares:
        """Read its own fields, and refuse what is missing, of another kind or out of range."""
        rates = fields.items('rates', gaps)
        if not all(rate is None or (is_bounded(rate) and 0 <= rate <= 1) for rate in rates):
            raise fields.wrong('rates', 'a list of shares from 0 to 1 or null, one per gap')
        return cls(tuple(rates), fields.whole('seed', 0, (1 << 63) - 1, default=0))

    def is_closed(self, gap: int) -> bool:
        """Whether nobody goes on in this gap, whatever the scores."""
        return self.rates[gap] is None

    def go_on(self, gap: int, confidence: Floats, unit: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Who goes on, bool ``(N)``; see the base class."""
        rate = self.rates[gap]
        assert rate is not None  # or else the gap is closed
        return uniform(self.seed, gap, unit) < rate


def uniform(seed: int, gap: int, unit: NDArray[np.int64]) -> NDArray[np.float64]:
    """Numbers in [0, 1) from (seed, gap, unit): the SplitMix64 finaliser, ``(N)``."""

    def mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
        return x ^ (x >> np.uint64(31))

    golden = 0x9E3779B97F4A7C15
    start = mix(np.array([(seed * golden + gap + 1) & ((1 << 64) - 1)], dtype=np.uint64))
    mixed = mix(start + unit.astype(np.uint64) * np.uint64(golden))
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


POLICIES: dict[str, type[Windows] | type[Thresholds] | type[Shares]] = {
    'window': Windows,
    'threshold': Thresholds,
    'random': Shares,
}


def read_policy(fields: Fields, gaps: int) -> Policy:
    """The policy that an object of cascade.json describes.

    Raises:
        BundleError: on an unknown type, or rules for another number of gaps.
    """
    return POLICIES[fields.text('type', choices=tuple(POLICIES))].read(fields, gaps)
