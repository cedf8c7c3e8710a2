# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What comes out of a cascade."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Outcome:
    """The finished units of a cascade.

    Attributes:
        ticket: int64 ``(N)``, the order of submission within the stream.
        unit: int64 ``(N)``, index in the data set.
        probs: ``(N, C, ...)``, the fused class probabilities.
        confidence: ``(N)``, the running score at the exit; higher = more certain, -inf where no stage gave
            finite output.
        exit_stage: int64 ``(N)``, the last stage that ran, from 0.
        macs: float64 ``(N)``, multiply-adds of all stages that ran.
        finite_stages: int64 ``(N)``, how many of them gave finite output.
    """

    ticket: np.ndarray
    unit: np.ndarray
    probs: Tensor
    confidence: Tensor
    exit_stage: np.ndarray
    macs: np.ndarray
    finite_stages: Tensor

    def __len__(self) -> int:
        return len(self.ticket)

    def select(self, rows: np.ndarray) -> Outcome:
        """Some of the units, in the order of ``rows``."""
        index = torch.as_tensor(rows).to(self.probs.device)
        return Outcome(**{
            f.name: (value.index_select(0, index) if isinstance(value, Tensor) else value[rows])
            for f in fields(self) for value in [getattr(self, f.name)]})

    def in_order(self) -> Outcome:
        """The same units in the order of submission."""
        if (np.diff(self.ticket) > 0).all():
            return self
        return self.select(np.argsort(self.ticket))

    @staticmethod
    def cat(outcomes: Sequence[Outcome]) -> Outcome:
        """Join outcomes of one cascade."""
        if len(outcomes) == 1:
            return outcomes[0]
        return Outcome(**{
            f.name: (torch.cat(parts) if isinstance(parts[0], Tensor) else np.concatenate(parts))
            for f in fields(Outcome) for parts in [[getattr(o, f.name) for o in outcomes]]})
