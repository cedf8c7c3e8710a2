# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Decisions on whole images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mmcascade.engine.predict.inputs import Item
from mmcascade.engine.predict.rows.row import Row, RowFormat
from mmcascade.runtime import Decision

_OWN: dict[str, type] = {
    'class_name': str,
    'label': int,
    'confidence': float,
    'accepted': bool,
    'exit_stage': int,
    'macs': float,
}


@dataclass(frozen=True)
class DecisionRows(RowFormat[Decision]):
    """The class of an image, and how it came about.

    Attributes:
        classes: names, for the most probable ones.
        top: how many of these are told.
        stages: of how many the running decision is told.
    """

    classes: tuple[str, ...] | None = None
    top: int = 0
    stages: int = 0

    @property
    def own(self) -> dict[str, type]:
        """See the base class."""
        found = dict(_OWN)
        for place in range(1, self.top + 1):
            found |= {f'top{place}': str, f'top{place}_probability': float}
        for stage in range(self.stages):
            found |= {f'stage{stage}': str, f'stage{stage}_confidence': float}
        return found

    def filled(self, item: Item, result: Decision) -> Row:
        """See the base class."""
        row: Row = dict(result.to_json())
        best = np.argsort(-result.probabilities, kind='stable')[: self.top].tolist()
        for place, label in enumerate(best, 1):
            row |= {f'top{place}': self._name(label), f'top{place}_probability': float(result.probabilities[label])}
        for stage, score in enumerate(result.stages[: self.stages]):
            confidence = score.confidence if math.isfinite(score.confidence) else None
            row |= {f'stage{stage}': self._name(score.label), f'stage{stage}_confidence': confidence}
        return row

    def exits(self, row: Row) -> Mapping[int, float]:
        """See the base class."""
        return {row['exit_stage']: 1.0}

    def _name(self, label: int) -> str:
        return self.classes[label] if self.classes else str(label)
