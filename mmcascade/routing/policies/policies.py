# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Exit policies: who goes on to the next stage.

Gap k lies between stage k and stage k + 1. A gap that is None is closed: nobody goes on. Bounds are compared in the
precision of the scores.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from mmcascade.routing.checks import fraction, number

Window = tuple[float | None, float | None]


class ExitPolicy(ABC):
    """Base class: one rule per gap. A variant checks its rules in ``__init__`` and overrides :meth:`go_on`."""

    #: Whether decisions depend on the unit's index in the data set.
    needs_unit = False

    def __init__(self, rules: Sequence) -> None:
        self.rules = list(rules)

    @property
    def num_gaps(self) -> int:
        """How many gaps this policy decides: one less than the stages of its cascade."""
        return len(self.rules)

    def is_closed(self, gap: int) -> bool:
        """Whether nobody goes on in this gap, whatever the scores."""
        return self.rules[gap] is None

    def start_stream(self) -> ExitPolicy:
        """The policy for one stream of units: itself, unless decisions depend on the units before."""
        return self

    @abstractmethod
    def go_on(self, gap: int, confidence: Tensor, unit: Tensor) -> Tensor:
        """Who goes on, bool ``(N)`` on the device of the confidences.

        Args:
            gap: index of the gap, from 0.
            confidence: ``(N)``, the raw running score; higher = more certain. -inf for units without any finite output,
                NaN for cells of which no pixel counts: what is said of those is overruled.
            unit: int64 ``(N)`` on the CPU, the index of each unit in the data set.
        """

    def limit(self, gap: int, going: Tensor, confidence: Tensor, unit: Tensor) -> Tensor:
        """The last word on who goes on, after it was decided about units that have no score; bool ``(N)``."""
        del gap, confidence, unit
        return going

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.rules})'


def going_on(
    policy: ExitPolicy, gap: int, confidence: Tensor, has_finite: Tensor, unit: Tensor, empty: str | None = None
) -> Tensor:
    """Who goes on in a gap that is not closed, bool ``(N)``: the policy's word, and rules for units it cannot judge.

    Args:
        confidence: ``(N)``; -inf for units without any finite output, NaN for those that are empty.
        has_finite: bool ``(N)``. Units without any finite output go on: the next member may do better.
        unit: int64 ``(N)`` on the CPU.
        empty: what empty units do, 'go_on' or 'exit'; None where there cannot be any.
    """
    going = policy.go_on(gap, confidence, unit) >= has_finite  # going or not finite, in one kernel
    if empty is not None:
        going = torch.where(confidence.isnan(), empty == 'go_on', going)
    return policy.limit(gap, going, confidence, unit)


class WindowPolicy(ExitPolicy):
    """Units whose confidence lies in a window go on (Xia & Bouganis 2023, equation 5).

    Args:
        windows: one ``(low, high)`` per gap, both ends included; None is an open end, so ``(None, None)`` sends
            everybody on. None in place of a pair closes the gap.

    Raises:
        ValueError: on NaN, ``low > high``, or anything that is not a pair.

    Example:
        >>> import torch
        >>> policy = WindowPolicy([(0.2, 0.5)])
        >>> policy.go_on(0, torch.tensor([0.1, 0.2, 0.5, 0.9]), torch.arange(4)).tolist()
        [False, True, True, False]
    """

    def __init__(self, windows: Sequence[Window | None]) -> None:
        super().__init__(
            [
                None if window is None else _checked_window(gap, window)
                for gap, window in enumerate(_checked_list('windows', windows))
            ]
        )

    def go_on(self, gap: int, confidence: Tensor, unit: Tensor) -> Tensor:
        """Whose confidence lies in the window of the gap, both ends included; bool ``(N)``."""
        low, high = self.rules[gap]
        if low is not None and high is not None:
            return (confidence >= low) & (confidence <= high)
        if low is not None:
            return confidence >= low
        if high is not None:
            return confidence <= high
        return torch.ones_like(confidence, dtype=torch.bool)


class ThresholdPolicy(ExitPolicy):
    """Units no more confident than a threshold go on: c <= t (Wang et al. 2022, section 3.1).

    Args:
        thresholds: one number per gap, or None to close it. For max_prob and prob_gap t = 1 is the full
            ensemble, also where scores saturate at 1.

    Example:
        >>> import torch
        >>> ThresholdPolicy([0.5]).go_on(0, torch.tensor([0.1, 0.5, 0.9]), torch.arange(3)).tolist()
        [True, True, False]
    """

    def __init__(self, thresholds: Sequence[float | None]) -> None:
        super().__init__(
            [
                None if t is None else number(t, f'threshold of gap {gap}')
                for gap, t in enumerate(_checked_list('thresholds', thresholds))
            ]
        )

    def go_on(self, gap: int, confidence: Tensor, unit: Tensor) -> Tensor:
        """Whose confidence is at most the threshold of the gap; bool ``(N)``."""
        return confidence <= self.rules[gap]


class RandomPolicy(ExitPolicy):
    """A fixed random share of the units goes on, whatever their confidence: the baseline to beat.

    The draw hashes (seed, gap, unit), so a unit's fate does not depend on batching, order or device.

    Args:
        rates: one share in [0, 1] per gap, or None to close it.
        seed: another seed draws other units.

    Example:
        >>> import torch
        >>> half = RandomPolicy([0.5]).go_on(0, torch.zeros(1000), torch.arange(1000))
        >>> 450 < half.sum() < 550
        tensor(True)
    """

    needs_unit = True

    def __init__(self, rates: Sequence[float | None], seed: int = 0) -> None:
        super().__init__(
            [
                None if rate is None else fraction(rate, f'rate of gap {gap}, the share that goes on,')
                for gap, rate in enumerate(_checked_list('rates', rates))
            ]
        )
        self.seed = int(seed)

    def go_on(self, gap: int, confidence: Tensor, unit: Tensor) -> Tensor:
        """Whom the draw of (seed, gap, unit) sends on; bool ``(N)``."""
        return (_uniform(self.seed, gap, unit) < self.rules[gap]).to(confidence.device)


def _uniform(seed: int, gap: int, unit: Tensor) -> Tensor:
    """Numbers in [0, 1) from (seed, gap, unit): the SplitMix64 finaliser, in wrapping int64 arithmetic."""

    def mix(x: Tensor) -> Tensor:
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            x = (x ^ _logical_shift(x, shift)) * _signed(factor)
        return x ^ _logical_shift(x, 31)

    golden = 0x9E3779B97F4A7C15
    start = torch.tensor(_signed(seed * golden + gap + 1), dtype=torch.int64)
    return _logical_shift(mix(mix(start) + unit * _signed(golden)), 11).double() * 2.0**-53


def _logical_shift(x: Tensor, bits: int) -> Tensor:
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >= 1 << 63 else value


def _checked_list(name: str, values: object) -> list:
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise TypeError(f'{name} holds one entry per gap, such as [...] of length len(stages) - 1, got {values!r}')
    return list(values)


def _checked_window(gap: int, window: object) -> Window:
    if not isinstance(window, Sequence) or isinstance(window, str) or len(window) != 2:
        raise ValueError(f'window of gap {gap} is a pair (low, high) or None, got {window!r}')
    low, high = (None if end is None else number(end, f'each end of the window of gap {gap}') for end in window)
    if low is not None and high is not None and low > high:
        raise ValueError(
            f'window of gap {gap} has low > high: {window!r}; swap its ends, '
            'or write None instead of the pair to let nobody go on'
        )
    return low, high
