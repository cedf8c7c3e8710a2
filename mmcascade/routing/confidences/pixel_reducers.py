# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One number for a cell from the confidences of its pixels."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from mmcascade.routing.checks import fraction, number
from mmcascade.routing.registry import Registry


class PixelReducer(ABC):
    """Base class: higher = more certain. A variant overrides :meth:`reduce` and :attr:`name`."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What calibrations call it: equal names give equal scores."""

    @abstractmethod
    def reduce(self, confidence: Tensor, counts: Tensor) -> Tensor:
        """The score of each cell, float64 ``(N)``, NaN for a cell of which no pixel counts.

        Args:
            confidence: ``(N, P)``, of the cells' pixels.
            counts: bool ``(N, P)``, which pixels count.
        """

    def __call__(self, confidence: Tensor, counts: Tensor) -> Tensor:
        """The same for maps ``(N, h, w)``, as float32."""
        return self.reduce(confidence.flatten(1), counts.flatten(1)).float()


class MeanReducer(PixelReducer):
    """The mean (Wang et al. 2022, section 4.5: g_dense)."""

    name = 'mean'

    def reduce(self, confidence: Tensor, counts: Tensor) -> Tensor:
        """The score of each cell, float64 ``(N)``; see the base class."""
        # In float64, so that rounding to float32 hides the order in which a device added the pixels up.
        return torch.where(counts, confidence, 0.0).sum(1, dtype=torch.float64) / counts.sum(1)


class QuantileReducer(PixelReducer):
    """The confidence that a share of the pixels does not reach: small shares look at a cell's worst pixels.

    Args:
        q: the share, in [0, 1]; interpolated linearly between pixels.
    """

    def __init__(self, q: float = 0.1) -> None:
        self.q = fraction(q, 'q')

    @property
    def name(self) -> str:
        """What calibrations call it: equal names give equal scores."""
        return f'quantile {self.q:g}'

    def reduce(self, confidence: Tensor, counts: Tensor) -> Tensor:
        """The score of each cell, float64 ``(N)``; see the base class."""
        # torch.quantile refuses rows of more than 16 million pixels and knows no mask.
        ordered = torch.where(counts, confidence, torch.inf).sort(1).values.double()
        number = counts.sum(1, keepdim=True).double()  # float32 has no place for each of so many pixels
        place = self.q * (number - 1).clamp_min(0)
        low = place.floor()
        last = (number - 1).clamp_min(0)
        lower, upper = (ordered.gather(1, index.long()) for index in (low, torch.minimum(low + 1, last)))
        value = torch.where(place > low, lower + (upper - lower) * (place - low), lower)
        return torch.where(number > 0, value, torch.nan).squeeze(1)


class FractionBelowReducer(PixelReducer):
    """One minus the share of pixels whose confidence lies below a bound, in [0, 1].

    Args:
        bound: on the scale of the pixels' confidence.
    """

    def __init__(self, bound: float = 0.9) -> None:
        self.bound = number(bound, 'bound', fix='it lies on the scale of the confidence of a pixel')

    @property
    def name(self) -> str:
        """What calibrations call it: equal names give equal scores."""
        return f'fraction below {self.bound:g}'

    def reduce(self, confidence: Tensor, counts: Tensor) -> Tensor:
        """The score of each cell, float64 ``(N)``; see the base class."""
        return (counts & (confidence.double() >= self.bound)).sum(1).double() / counts.sum(1)


#: What ``reduce='name'`` of a :class:`~mmcascade.routing.CellConfidence` means: a class, made with its default options.
REDUCERS: Registry[type[PixelReducer]] = Registry(
    'reducer', "a config such as dict(type='mmcascade.QuantileReducer', q=0.05)"
)
for _name, _reducer in (('mean', MeanReducer), ('quantile', QuantileReducer), ('fraction_below', FractionBelowReducer)):
    REDUCERS[_name] = _reducer


def build_reducer(reduce: str | PixelReducer) -> PixelReducer:
    """A reducer by name, with its default settings, or the object itself."""
    return reduce if isinstance(reduce, PixelReducer) else REDUCERS[reduce]()
