# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A window that keeps its share of units when the stream of scores shifts; no labels are needed."""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mmcascade.routing.checks import finite, fraction, whole
from mmcascade.routing.policies.policies import Window, WindowPolicy

#: Before so many scores are known, the calibrated window decides.
MIN_SCORES = 100


def adjusted_window(scores: np.ndarray, tau: float, share: float) -> tuple[float, float]:
    """The window that holds a share of unlabelled scores, centred on tau (Xia & Bouganis 2023, "adjusted window").

    With q the quantile of tau among the scores, the window spans the quantiles q - share/2 to q + share/2. Where that
    leaves [0, 1] it is moved back inside, so the share is held wherever tau lies. The paper's code clips it there, and
    sends fewer units on.

    Args:
        scores: finite, ``(N)``, in rising order.
        tau: where the decision lies; stays what labelled data said.
        share: of the units that go on, in [0, 1].
    """
    below, reached = np.searchsorted(scores, tau, 'left'), np.searchsorted(scores, tau, 'right')
    quantile = (below + reached + (below < reached)) / (2 * len(scores))  # scipy's percentileofscore, as in the paper
    start = min(max(quantile - share / 2, 0.0), 1.0 - share)
    bounds = np.quantile(scores, [start, min(start + share, 1.0)])
    return float(bounds[0]), float(bounds[1])


class AdjustedWindowPolicy(WindowPolicy):
    """Windows, of which the one of gap 0 follows the stream.

    Its share of units stays what it was set to, centred on tau among the last scores that were seen. Each batch counts
    before it is decided. Decisions depend on the order of the units and their batches, and with several processes on
    each one's own part of the data: a test run is repeatable, but not equal to a replay. Reading the scores costs one
    more synchronisation with the device per batch.

    The policy of a config holds no state. Every stream gets its own copy with :meth:`start_stream`: a deferred test
    run is one stream, and the batches of a plain test are one stream from when the model enters eval mode.

    Args:
        windows: the calibrated windows, one per gap; gap 0 must not be closed.
        tau: the score in the middle of the window of gap 0.
        share: of the units that goes on in gap 0, in [0, 1].
        memory: how many scores are remembered, at least 100; the oldest are forgotten.

    Raises:
        ValueError: on a missing window or numbers out of range.
    """

    def __init__(self, windows: Sequence[Window | None], tau: float, share: float, memory: int = 2048) -> None:
        super().__init__(windows)
        if not self.rules or self.rules[0] is None:
            raise ValueError(f'the window of gap 0 is adjusted, so there must be one, got windows {self.rules}')
        self.tau = finite(tau, 'tau, the score in the middle of the window,')
        self.share = fraction(share, 'share, the part of the units that goes on,')
        self.memory = whole(memory, 'memory, the number of scores that are remembered,', least=MIN_SCORES)
        self._recent: deque[float] = deque()
        self._sorted: list[float] = []

    def start_stream(self) -> AdjustedWindowPolicy:
        """A copy that has seen no score yet."""
        return AdjustedWindowPolicy(self.rules, self.tau, self.share, self.memory)

    def go_on(self, gap: int, confidence: Tensor, unit: Tensor) -> Tensor:
        """Who lies in the window as these scores have moved it; bool ``(N)``."""
        if gap != 0:
            return super().go_on(gap, confidence, unit)
        self._remember(confidence)
        low, high = self.window()
        return WindowPolicy([(low, high)]).go_on(0, confidence, unit)

    def window(self) -> Window:
        """The window of gap 0 as it is now."""
        if len(self._sorted) < MIN_SCORES:
            return self.rules[0]
        return adjusted_window(np.array(self._sorted), self.tau, self.share)

    def _remember(self, confidence: Tensor) -> None:
        for score in confidence[torch.isfinite(confidence)].tolist():
            if len(self._recent) == self.memory:
                del self._sorted[bisect.bisect_left(self._sorted, self._recent.popleft())]
            self._recent.append(score)
            bisect.insort(self._sorted, score)
