# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Scores that can be compared, whichever stage a unit left after.

The raw running score of a unit that ran one member and that of a unit that ran three differ in scale, so ranking them
together (Xia & Bouganis 2023 do) mixes two rulers. A monotone map per exit brings both to one: the probability that the
prediction is right. The order within an exit stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class ScoreMap:
    """A strictly increasing function from raw running scores to (0, 1), through given knots.

    Linear between the knots. Beyond the outer knots it goes on towards 0 and 1 without reaching them, so that scores
    outside of what was seen keep their order. Computed in float64: distinct float32 scores stay distinct.

    Args:
        scores: raw scores of the knots, strictly increasing.
        values: what they are mapped to, strictly increasing, in (0, 1).

    Raises:
        ValueError: on knots that are not finite, of unequal number, not increasing, or out of range.
    """

    def __init__(self, scores: Sequence[float], values: Sequence[float]) -> None:
        self.scores, self.values = [float(x) for x in scores], [float(y) for y in values]
        if not self.scores or len(self.scores) != len(self.values):
            raise ValueError(
                f'a score map has as many scores as values, at least one, got {len(self.scores)} and {len(self.values)}'
            )
        if not all(map(math.isfinite, self.scores)) or not _increasing(self.scores):
            raise ValueError(f'the scores of a score map are finite and strictly increasing, got {self.scores}')
        if not (self.values[0] > 0 and self.values[-1] < 1 and _increasing(self.values)):
            raise ValueError(f'the values of a score map lie in (0, 1) and are strictly increasing, got {self.values}')
        self._knots: dict[torch.device, tuple[Tensor, Tensor]] = {}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ScoreMap:
        """Read what :meth:`to_json` gave."""
        return cls(data['scores'], data['values'])

    def to_json(self) -> dict[str, Any]:
        """What a calibration file holds of it."""
        return {'scores': self.scores, 'values': self.values}

    def __call__(self, score: Tensor) -> Tensor:
        """Map ``(N)`` scores to float64 ``(N)``; -inf, which marks units without any finite output, stays -inf."""
        x, y = self._knots_on(score.device)
        s = score.double()
        right = torch.searchsorted(x, s, right=True).clamp(1, max(len(x) - 1, 1))
        left = right - 1
        right = right.clamp_max(len(x) - 1)
        mapped = torch.lerp(y[left], y[right], ((s - x[left]) / (x[right] - x[left]).clamp_min(1e-300)).clamp(0, 1))
        # At least the size of the scores: by a shorter ruler, far ones would all round to the same end.
        span = max(self.scores[-1] - self.scores[0], abs(self.scores[-1]), 1e-6)
        below, above = (x[0] - s) / span, (s - x[-1]) / span
        mapped = torch.where(below > 0, y[0] / (1 + below), mapped)
        mapped = torch.where(above > 0, y[-1] + (1 - y[-1]) * above / (1 + above), mapped)
        return torch.where(s.isfinite(), mapped, s)

    def _knots_on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        if device not in self._knots:
            self._knots[device] = (
                torch.tensor(self.scores, dtype=torch.float64, device=device),
                torch.tensor(self.values, dtype=torch.float64, device=device),
            )
        return self._knots[device]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ScoreMap) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash((*self.scores, *self.values))

    def __repr__(self) -> str:
        return (
            f'ScoreMap({len(self.scores)} knots, {self.scores[0]:.4g} -> {self.values[0]:.4g} to '
            f'{self.scores[-1]:.4g} -> {self.values[-1]:.4g})'
        )


def judged_score(maps: Sequence[ScoreMap | None] | None, stage: int, score: Tensor) -> Tensor:
    """The score on which a unit that leaves after ``stage`` is accepted or rejected; without a map, every bit stays."""
    exit_map = None if maps is None else maps[stage]
    return score if exit_map is None else exit_map(score)


def _increasing(values: Sequence[float]) -> bool:
    return all(a < b for a, b in zip(values, values[1:], strict=False))
