# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How far the class values of a graph are from torch's, and whether that is rounding."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Difference:
    """How far class values are from those of torch for the same images.

    Attributes:
        probability: the largest difference of a probability.
        largest: the largest difference of a value, in standard deviations of the values over the images.
        typical: the root mean square of the differences, in the same unit.
        other_labels: the share of images (or pixels) whose label is another one.
    """

    probability: float
    largest: float
    typical: float
    other_labels: float

    def __str__(self) -> str:
        return (
            f'{self.probability:.1e} in probability, {self.largest:.1e} standard deviations in value, '
            f'{100 * self.other_labels:.2g} % other labels'
        )

    @classmethod
    def worst(cls, several: Iterable[Difference]) -> Difference:
        """The largest of each number; NaN counts as the largest."""
        rows = [asdict(one) for one in several]
        return cls(**{name: max((row[name] for row in rows), key=_nan_last) for name in rows[0]})


@dataclass(frozen=True)
class Tolerance:
    """The largest difference that is taken for rounding, in the units of :class:`Difference`."""

    probability: float = math.inf
    largest: float = math.inf
    typical: float = math.inf

    def admits(self, difference: Difference) -> bool:
        """Whether a difference is small enough; NaN never is."""
        return (
            difference.probability <= self.probability
            and difference.largest <= self.largest
            and difference.typical <= self.typical
        )


#: By the arithmetic of a graph. A graph that mixes up rows is off by one standard deviation and more.
TOLERANCES = {
    'float32': Tolerance(probability=1e-4, largest=1e-2),
    'bfloat16': Tolerance(typical=0.2),
    'float16': Tolerance(typical=0.1),
    'int8': Tolerance(typical=0.5),
}


def difference(values: Tensor, reference: Tensor, logits: bool) -> Difference:
    """Compare class values with torch's.

    Args:
        values: ``(N, C, ...)``; N >= 2 gives a spread over images, which a single one has not.
        reference: the same from torch.
        logits: whether they are logits, else probabilities.

    Raises:
        ValueError: if the shapes differ.
    """
    if values.shape != reference.shape:
        raise ValueError(f'the graph gives {tuple(values.shape)} where torch gives {tuple(reference.shape)}')
    values, reference = values.double(), reference.double()
    gap = (values - reference).abs()
    # What no image changes would hide rows that were mixed up; what rounding moves is no spread.
    spread = (reference - reference.mean(0, keepdim=True)).square().mean().sqrt()
    unit = float(spread + 1e-3 * reference.abs().mean()) or 1.0
    return Difference(
        probability=float((_probabilities(values, logits) - _probabilities(reference, logits)).abs().max()),
        largest=float(gap.max()) / unit,
        typical=float(gap.square().mean().sqrt()) / unit,
        other_labels=float((values.argmax(1) != reference.argmax(1)).double().mean()),
    )


def _probabilities(values: Tensor, logits: bool) -> Tensor:
    return values.softmax(1) if logits else values


def _nan_last(value: float) -> tuple[bool, float]:
    return math.isnan(value), value


def sample_images(count: int, shape: tuple[int, ...], dtype: torch.dtype = torch.uint8, seed: int = 0) -> Tensor:
    """Images that differ in brightness, contrast and structure, ``(count, *shape)``, in 0..255."""
    generator = torch.Generator().manual_seed(seed)
    channels, *size = shape
    coarse = torch.rand(count, channels, 5, 5, generator=generator)
    smooth = functional.interpolate(coarse, tuple(size), mode='bilinear', align_corners=False)
    noise = torch.rand(count, channels, *size, generator=generator)
    share = torch.rand(count, 1, 1, 1, generator=generator) * 0.6
    return (255 * ((1 - share) * smooth + share * noise)).to(dtype)
