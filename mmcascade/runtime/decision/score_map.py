# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Maps that make scores comparable across exits, in numpy: the counterpart of ``mmcascade.routing.ScoreMap``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmcascade.runtime.decision.fusion import Floats
from mmcascade.runtime.fields import Fields, is_bounded


@dataclass(frozen=True)
class ScoreMap:
    """A strictly increasing function from raw scores to (0, 1): linear between knots, never reaching 0 or 1 beyond."""

    scores: NDArray[np.float64]
    values: NDArray[np.float64]

    @classmethod
    def read(cls, fields: Fields) -> ScoreMap:
        """From its object in cascade.json.

        Raises:
            BundleError: unless both lists have one length and increase, the values within (0, 1).
        """
        scores, values = fields.items('scores'), fields.items('values')
        if not scores or not all(map(is_bounded, scores)) or np.any(np.diff(scores) <= 0):
            raise fields.wrong('scores', 'a list of at least one number, strictly increasing')
        if len(values) != len(scores) or not all(map(is_bounded, values)):
            raise fields.wrong('values', f'a list of {len(scores)} numbers, one per score')
        if values[0] <= 0 or values[-1] >= 1 or np.any(np.diff(values) <= 0):
            raise fields.wrong('values', 'a list of numbers in (0, 1), strictly increasing')
        return cls(np.array(scores, np.float64), np.array(values, np.float64))

    def __call__(self, score: Floats) -> NDArray[np.float64]:
        """Map ``(N)`` scores; what is not finite stays as it is."""
        s, x, y = score.astype(np.float64), self.scores, self.values
        span = max(x[-1] - x[0], abs(x[-1]), 1e-6)
        below, above = (x[0] - s) / span, (s - x[-1]) / span
        mapped = np.interp(s, x, y)
        with np.errstate(invalid='ignore'):
            mapped = np.where(below > 0, y[0] / (1 + below), mapped)
            mapped = np.where(above > 0, y[-1] + (1 - y[-1]) * above / (1 + above), mapped)
        return np.where(np.isfinite(s), mapped, s)
