# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How certain a cascade is of a cell: the confidences of its pixels, as one number; higher = more certain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmcascade.runtime.decision.confidence import confidence
from mmcascade.runtime.decision.fusion import Floats, State
from mmcascade.runtime.fields import Fields

REDUCERS = ('mean', 'quantile', 'fraction_below')
#: Pixels this near to a bound may fall on its other side by rounding.
_NEAR = 1e-4


@dataclass(frozen=True)
class CellScore:
    """The confidence of a cell.

    Attributes:
        value: float32; NaN where no pixel counts, -inf where no stage gave finite output.
        slack: how far rounding can move it, since pixels may lie on a bound themselves.
    """

    value: np.float32
    slack: float


def image_confidence(confidence: NDArray[np.float64], area: NDArray[np.int64]) -> float:
    """The mean of an image's cells by area, without those of which no pixel counts (NaN); -inf where none is left.

    Args:
        confidence: of the cells.
        area: their pixels.
    """
    counted = ~np.isnan(confidence)
    weights = area[counted].astype(np.float64)
    if not len(weights):
        return float('-inf')
    # As bincount adds them up, which the cascade in torch uses.
    zeros = np.zeros(len(weights), np.int64)
    return float(np.bincount(zeros, weights * confidence[counted])[0] / np.bincount(zeros, weights)[0])


@dataclass(frozen=True)
class CellConfidence:
    """From pixels to a cell (Wang et al. 2022, section 4.5).

    Attributes:
        pixel: name of the confidence function of a pixel.
        reduce: one of :data:`REDUCERS`.
        number: of the reducer: the quantile's share, or the bound below which pixels are counted.
        t_unk: pixels whose largest probability is at most this do not count; None = all count.
        empty: what a cell does of which no pixel counts, 'go_on' or 'exit'.
        stride: every so many-th pixel is looked at in both directions, the last one always.
    """

    pixel: str
    reduce: str
    number: float
    t_unk: float | None
    empty: str
    stride: int

    @classmethod
    def read(cls, pixel: str, fields: Fields) -> CellConfidence:
        """Read its own fields, and refuse what is missing, of another kind or out of range."""
        reduce = fields.text('reduce', choices=REDUCERS)
        number = 0.0 if reduce == 'mean' else fields.number('number')
        if reduce == 'quantile' and not 0 <= number <= 1:
            raise fields.wrong('number', 'the share of a quantile, from 0 to 1')
        return cls(
            pixel,
            reduce,
            number,
            fields.number('t_unk', least=0.0, most=1.0) if 't_unk' in fields else None,
            fields.text('empty', choices=('go_on', 'exit')),
            fields.whole('stride', 1, 1 << 15, 1),
        )

    def __call__(self, state: State, size: tuple[int, int]) -> CellScore:
        """The score of a cell.

        Args:
            state: of its pixels, row by row.
            size: height and width of the cell.
        """
        if not state.finite[0]:  # which is the same for all its pixels
            return CellScore(np.float32(-np.inf), 0.0)
        if self.stride > 1:
            state = state.select(self._looked_at(size))
        scores = confidence(self.pixel, state)
        best = scores if self.pixel == 'max_prob' else state.probs.max(1)
        counts = np.ones(len(scores), bool) if self.t_unk is None else best > np.float32(self.t_unk)
        near = np.zeros(len(scores), bool) if self.t_unk is None else np.abs(best - self.t_unk) <= _NEAR
        counted = scores[counts]
        if self.reduce == 'fraction_below':
            near |= counts & (np.abs(scores - self.number) <= _NEAR)
        return CellScore(self._reduced(counted), self._slack(scores, int(near.sum()), len(counted)))

    def _looked_at(self, size: tuple[int, int]) -> np.ndarray:
        rows = np.arange(size[0] * size[1]).reshape(size)
        top, left = ((side - 1) % self.stride for side in size)
        return rows[top :: self.stride, left :: self.stride].ravel()

    def _reduced(self, counted: Floats) -> np.float32:
        count = len(counted)
        if not count:
            return np.float32(np.nan)
        if self.reduce == 'mean':
            return np.float32(counted.sum(dtype=np.float64) / count)
        if self.reduce == 'fraction_below':
            return np.float32((counted.astype(np.float64) >= self.number).sum() / count)
        ordered = np.sort(counted).astype(np.float64)
        place = self.number * (count - 1)
        low = int(np.floor(place))
        return np.float32(ordered[low] + (ordered[min(low + 1, count - 1)] - ordered[low]) * (place - low))

    def _slack(self, scores: Floats, near: int, count: int) -> float:
        if not near:
            return 0.0
        if near >= count:
            return float('inf')
        span = 1.0 if self.reduce == 'fraction_below' else float(scores.max() - scores.min())
        return span if self.reduce == 'quantile' else span * near / count
