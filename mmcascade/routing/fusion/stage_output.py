# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a stage gives for its rows: ``(C)`` vectors, or ``(C, h, w)`` maps when a unit is a piece of an image."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mmcascade.routing.exits.exit_state import ExitState
from mmcascade.routing.fusion.distribution import log_floored

# Sums and differences of a few clamped logits stay finite in float32.
_LOGIT_BOUND = 1e30


class Pixels(ABC):
    """All pixels of N units, made when they are asked for: a head says less of them than there are."""

    @abstractmethod
    def output(self) -> StageOutput:
        """What the stage gave at all of them."""

    @abstractmethod
    def labels(self) -> Tensor:
        """The class of the highest score at each, of several the first, ``(N, h, w)``; of finite scores."""

    @abstractmethod
    def select(self, rows: Iterable[int]) -> Pixels:
        """Those of some of the units."""

    @abstractmethod
    def joined(self, others: Sequence[Pixels]) -> Pixels:
        """Those of these units, and of others after them that ran the same stage."""

    @abstractmethod
    def made(self) -> Pixels:
        """The same, made now: where some of the units after others are asked for."""

    @abstractmethod
    def own(self) -> Pixels:
        """The same in memory of its own."""

    @abstractmethod
    def tensors(self) -> Iterable[Tensor]:
        """All tensors that they keep alive."""


@dataclass(frozen=True)
class StageOutput:
    """The output of one stage for N units: logits, or probabilities where a head has no logits.

    Args:
        logits: ``(N, C, ...)``, any float type.
        probabilities: ``(N, C, ...)``, summing to 1 over the classes. Exactly one of the two is given.
        features: ``(N, ...)``, for confidence functions that look at more than class scores.
        macs: multiply-adds spent on each unit: one number for all of them, or ``(N)``.
        source: name of the stage that gave it, the same in a score store and wherever the stage stands in a cascade.
        valid: bool ``(N, h, w)``, which pixels of a map belong to its unit; None = all.
        state: what the member left behind for a stage that goes on from here; None = nothing goes on.
        pixels: all pixels of maps of which the values are some, enough to judge the units by; None = they are all.
    """

    logits: Tensor | None = None
    probabilities: Tensor | None = None
    features: Tensor | None = None
    macs: float | Tensor = 0.0
    source: str = ''
    valid: Tensor | None = None
    state: ExitState | None = None
    pixels: Pixels | None = None

    def __post_init__(self) -> None:
        if (self.logits is None) == (self.probabilities is None):
            raise ValueError(
                'a stage gives either logits or probabilities, got ' + ('neither' if self.logits is None else 'both')
            )
        if self.values.dim() < 2:
            raise ValueError(
                'a stage gives one row of class scores per unit, shape (N, C, ...), '
                f'got shape {tuple(self.values.shape)}'
            )

    @property
    def values(self) -> Tensor:
        """What the stage gave: its logits, or else its probabilities."""
        return self.logits if self.logits is not None else self.probabilities  # type: ignore[return-value]

    def scaled_logits(self, temperature: float = 1.0) -> Tensor:
        """Logits (or log-probabilities) over the temperature, at least float32, ``(N, C, ...)``."""
        values = at_least_float32(self.values)
        if self.logits is None:
            values = log_floored(values)
        if temperature != 1.0:
            values = values / temperature
        if self.peak <= _LOGIT_BOUND * min(1.0, temperature):
            return values
        return values.clamp(-_LOGIT_BOUND, _LOGIT_BOUND)

    def scaled_probs(self, temperature: float = 1.0) -> Tensor:
        """Class probabilities at the temperature, at least float32, ``(N, C, ...)``."""
        if self.probabilities is not None and temperature == 1.0:
            return at_least_float32(self.probabilities)
        return self.scaled_logits(temperature).softmax(1)

    def finite_rows(self) -> Tensor:
        """Which units got a finite output, bool ``(N)``."""
        return self._largest < torch.inf

    @cached_property
    def peak(self) -> float:
        """The largest magnitude of all values and features; NaN or inf where one of them is, or nobody knows.

        What is only done for the sake of broken outputs costs a pass over all values. Where the processor can tell that
        there are none, it is left out; it does not wait for another device to know.
        """
        largest = self._largest
        return float(largest.amax()) if largest.device.type == 'cpu' and len(largest) else math.nan

    @property
    def all_finite(self) -> bool:
        """Whether every unit is known to have got a finite output."""
        return self.peak < math.inf

    @cached_property
    def _largest(self) -> Tensor:
        """The largest magnitude of each unit's values and features, ``(N)``."""
        values = _largest(self.values, self.valid)
        return values if self.features is None else torch.maximum(values, _largest(self.features))


def at_least_float32(x: Tensor) -> Tensor:
    """The tensor itself if it is float32 or float64, else its float32 copy."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def _largest(x: Tensor, valid: Tensor | None = None) -> Tensor:
    if x.dim() == 2:
        return torch.linalg.vector_norm(x, torch.inf, 1)
    # One step more than a norm, but for maps a fortieth of its time on a processor.
    largest = torch.maximum(x.amax(1), -x.amin(1))
    if valid is not None:
        largest = torch.where(valid, largest, 0)
    return largest.flatten(1).amax(1)
