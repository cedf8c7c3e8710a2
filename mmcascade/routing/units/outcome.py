# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What comes out of a cascade."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Outcome:
    """The finished units of a cascade.

    Attributes:
        ticket: int64 ``(N)``, the order of submission within the stream.
        unit: int64 ``(N)``, index in the data set.
        results: what the cascade keeps of a finished unit, by name, each ``(N, ...)``; for a classifier 'probs', the
            fused class probabilities ``(N, C)``.
        confidence: ``(N)``, the score that is judged: the running score at the exit, through the exit's score map if
            there is one (then float64); higher = more certain, -inf where no stage gave finite output.
        exit_stage: int64 ``(N)``, the last stage that ran, from 0.
        macs: float64 ``(N)``, multiply-adds of all stages that ran.
        finite_stages: int64 ``(N)``, how many of them gave finite output.
    """

    ticket: np.ndarray
    unit: np.ndarray
    results: Mapping[str, Tensor]
    confidence: Tensor
    exit_stage: np.ndarray
    macs: np.ndarray
    finite_stages: Tensor

    def __len__(self) -> int:
        return len(self.ticket)

    @property
    def probs(self) -> Tensor:
        """The fused class probabilities, where the cascade keeps them."""
        return self.results['probs']

    @property
    def nbytes(self) -> int:
        """Memory of the results."""
        return sum(x.nbytes for x in self.results.values())

    def select(self, rows: np.ndarray) -> Outcome:
        """Some of the units, in the order of ``rows``."""
        index = torch.as_tensor(rows).to(self.confidence.device)
        return Outcome(
            self.ticket[rows],
            self.unit[rows],
            {name: x.index_select(0, index) for name, x in self.results.items()},
            self.confidence.index_select(0, index),
            self.exit_stage[rows],
            self.macs[rows],
            self.finite_stages.index_select(0, index),
        )

    def part(self, start: int, stop: int) -> Outcome:
        """Neighbouring units, without a copy."""
        rows = slice(start, stop)
        return Outcome(
            self.ticket[rows],
            self.unit[rows],
            {name: x[rows] for name, x in self.results.items()},
            self.confidence[rows],
            self.exit_stage[rows],
            self.macs[rows],
            self.finite_stages[rows],
        )

    def cpu(self) -> Outcome:
        """The same units with their scores on the host."""
        if self.confidence.device.type == 'cpu':
            return self
        return replace(
            self,
            results={name: x.cpu() for name, x in self.results.items()},
            confidence=self.confidence.cpu(),
            finite_stages=self.finite_stages.cpu(),
        )

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
        ticket, unit, exit_stage, macs = (
            np.concatenate([getattr(o, name) for o in outcomes]) for name in ('ticket', 'unit', 'exit_stage', 'macs')
        )
        results = {name: torch.cat([o.results[name] for o in outcomes]) for name in outcomes[0].results}
        confidence, finite_stages = (
            torch.cat([getattr(o, name) for o in outcomes]) for name in ('confidence', 'finite_stages')
        )
        return Outcome(ticket, unit, results, confidence, exit_stage, macs, finite_stages)
