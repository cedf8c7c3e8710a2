# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a search makes as good as it can."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmcascade.evaluation import curves
from mmcascade.evaluation.curves.inputs import as_fraction, target_rank

NAMES = "'accuracy', 'coverage@risk=0.05', 'risk@coverage=0.8', 'aurc' or 'augrc'"


@dataclass(frozen=True)
class Quality:
    """A number that says how good a cascade is, as a fraction.

    Attributes:
        name: 'accuracy', 'coverage@risk', 'risk@coverage', 'aurc' or 'augrc'; 'miou' for segmentations, which is no
            function of scores and so measured elsewhere.
        target: the risk or coverage where the name asks for one, else 0.
    """

    name: str
    target: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Quality:
        """Read ``'accuracy'``, ``'coverage@risk=0.05'``, ``'risk@coverage=0.8'``, ``'aurc'`` or ``'augrc'``.

        Raises:
            ValueError: on another name, or a target that is missing, superfluous or no fraction.
        """
        name, equals, value = text.partition('=')
        if name not in _MEASURES or bool(equals) != ('@' in name):
            raise ValueError(f'a quality is written {NAMES}, got {text!r}')
        if not equals:
            return cls(name)
        try:
            number = float(value)
        except ValueError:
            raise ValueError(f'the target of a quality is a number, got {text!r}') from None
        return cls(name, as_fraction(number, name.partition('@')[2], positive=name == 'risk@coverage'))

    def __str__(self) -> str:
        return f'{self.name}={self.target:g}' if '@' in self.name else self.name

    @property
    def higher_is_better(self) -> bool:
        """Whether more of it is better."""
        return self.name in ('accuracy', 'coverage@risk', 'miou')

    def gain(self, value: ArrayLike) -> NDArray[np.float64]:
        """The value with the sign that makes higher better; its own inverse."""
        return np.asarray(value, np.float64) if self.higher_is_better else -np.asarray(value, np.float64)

    def measure(self, confidence: NDArray[np.floating], wrong: NDArray[np.bool_]) -> float:
        """The quality of judged scores, exact.

        Args:
            confidence: ``(N)``, higher = more certain.
            wrong: bool ``(N)``.
        """
        return _MEASURES[self.name](confidence, wrong, self.target)

    def screen(self, accepted: NDArray[np.int32], errors: NDArray[np.int32], units: int) -> NDArray[np.float64]:
        """The quality as far as counts at T thresholds tell; units between two thresholds count as tied.

        Args:
            accepted, errors: ``(..., T)``, falling along T; at the first threshold everybody is accepted.
            units: number of all units.

        Returns:
            ``(...)``, an estimate that gets better with the number of thresholds.
        """
        if self.name == 'accuracy':
            return 1 - errors[..., 0] / units
        if self.name == 'augrc':
            heights = errors[..., :-1] + errors[..., 1:]
            area = np.einsum('...t,...t->...', heights, accepted[..., :-1] - accepted[..., 1:], dtype=np.float64)
            return (area + errors[..., -1].astype(np.float64) * accepted[..., -1]) / (2 * units * units)
        risk = errors / np.maximum(accepted, 1)
        if self.name == 'coverage@risk':
            return np.where(risk <= self.target, accepted, 0).max(-1) / units
        if self.name == 'risk@coverage':
            place = (accepted >= target_rank(units, self.target)).sum(-1, keepdims=True) - 1
            return np.take_along_axis(risk, place, -1)[..., 0]
        middle = (risk[..., :-1] + risk[..., 1:]) / 2
        area = np.einsum('...t,...t->...', middle, accepted[..., :-1] - accepted[..., 1:])
        return (area + risk[..., -1] * accepted[..., -1]) / units


Measure = Callable[[NDArray[np.floating], NDArray[np.bool_], float], float]

_MEASURES: dict[str, Measure] = {
    'accuracy': lambda confidence, wrong, target: float(1 - wrong.mean()),
    'coverage@risk': curves.coverage_at_risk,
    'risk@coverage': curves.risk_at_coverage,
    'aurc': lambda confidence, wrong, target: curves.aurc(confidence, wrong),
    'augrc': lambda confidence, wrong, target: curves.augrc(confidence, wrong),
}
