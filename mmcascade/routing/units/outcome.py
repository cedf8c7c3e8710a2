# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What comes out of a cascade."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mmcascade.routing.units.rows import Rows, joined, nbytes, on_host, picked, stacked


@dataclass(frozen=True)
class Outcome:
    """The finished units of a cascade.

    Attributes:
        ticket: int64 ``(N)``, the order of submission within the stream.
        unit: int64 ``(N)``, index in the data set.
        results: what the cascade keeps of a finished unit, by name, each ``(N, ...)``, or N tensors where units differ
            in shape; for a classifier 'probs', the fused class probabilities ``(N, C)``.
        confidence: ``(N)``, the score that is judged: the running score at the exit, through the exit's score map if
            there is one (then float64); higher = more certain, -inf where no stage gave finite output.
        exit_stage: int64 ``(N)``, the last stage that ran, from 0.
        macs: float64 ``(N)``, multiply-adds of all stages that ran.
        finite_stages: int64 ``(N)``, how many of them gave finite output.
        missed_stages: int64 ``(N)``, which of them did not: bit k is set for stage k.
    """

    ticket: np.ndarray
    unit: np.ndarray
    results: Mapping[str, Rows]
    confidence: Tensor
    exit_stage: np.ndarray
    macs: np.ndarray
    finite_stages: Tensor
    missed_stages: Tensor

    def __len__(self) -> int:
        return len(self.ticket)

    @property
    def probs(self) -> Tensor:
        """The fused class probabilities, where the cascade keeps them."""
        return self.stacked('probs')

    def stacked(self, name: str) -> Tensor:
        """What is kept of the units under a name, ``(N, ...)``; they must have one shape, as those of an image do."""
        return stacked(self.results[name])

    @property
    def nbytes(self) -> int:
        """Memory of the results."""
        return sum(map(nbytes, self.results.values()))

    def missed(self, stage: int) -> np.ndarray:
        """Bool ``(N)``: units that ran a stage which gave them no finite output; on the host."""
        return (self.missed_stages.cpu().numpy() >> stage & 1).astype(bool)

    def select(self, rows: np.ndarray) -> Outcome:
        """Some of the units, in the order of ``rows``."""
        index = torch.as_tensor(rows).to(self.confidence.device)
        return self._pick(rows, lambda x: x.index_select(0, index))

    def part(self, start: int, stop: int) -> Outcome:
        """Neighbouring units, without a copy."""
        rows = slice(start, stop)
        return self._pick(rows, lambda x: x[rows])

    def _pick(self, rows: np.ndarray | slice, pick: Callable[[Tensor], Tensor]) -> Outcome:
        return replace(
            self,
            ticket=self.ticket[rows],
            unit=self.unit[rows],
            exit_stage=self.exit_stage[rows],
            macs=self.macs[rows],
            results={name: picked(x, rows, pick) for name, x in self.results.items()},
            confidence=pick(self.confidence),
            finite_stages=pick(self.finite_stages),
            missed_stages=pick(self.missed_stages),
        )

    def cpu(self) -> Outcome:
        """The same units with their scores on the host."""
        if self.confidence.device.type == 'cpu':
            return self
        return replace(
            self,
            results={name: on_host(x) for name, x in self.results.items()},
            confidence=self.confidence.cpu(),
            finite_stages=self.finite_stages.cpu(),
            missed_stages=self.missed_stages.cpu(),
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
        return Outcome(
            ticket=np.concatenate([o.ticket for o in outcomes]),
            unit=np.concatenate([o.unit for o in outcomes]),
            results={name: joined([o.results[name] for o in outcomes]) for name in outcomes[0].results},
            confidence=torch.cat([o.confidence for o in outcomes]),
            exit_stage=np.concatenate([o.exit_stage for o in outcomes]),
            macs=np.concatenate([o.macs for o in outcomes]),
            finite_stages=torch.cat([o.finite_stages for o in outcomes]),
            missed_stages=torch.cat([o.missed_stages for o in outcomes]),
        )
