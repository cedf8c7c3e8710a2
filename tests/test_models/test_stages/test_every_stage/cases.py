# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A stage, the units that come to it, and what it gives of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmcascade.routing import StageOutput, UnitBatch
from mmcascade.routing.exits.exit_state import left_behind, trunk_of

# Rows of a source have numbers below this.
_MOST = 1000


@dataclass
class Case:
    """A stage, and the units that come to it.

    Args:
        stage: the stage.
        sources: that hold the units; of one group.
        classes: how many scores a unit gets.
        module: its member; None where there is none.
        before: stages of the same network that ran the units before.
        rows: per source the units that come to the stage; None = all.
        macs: multiply-adds of each unit, where torch cannot count them.
    """

    stage: Any
    sources: Sequence[Any]
    classes: int
    module: nn.Module | None = None
    before: Sequence[Any] = ()
    rows: Sequence[Sequence[int]] | None = None
    macs: np.ndarray | None = None

    def batch(self, numbers: Sequence[int] | None = None, fresh: bool = False) -> UnitBatch:
        """The units of some sources, in their order; of fresh ones, no stage has run."""
        numbers = range(len(self.sources)) if numbers is None else numbers
        batches = []
        for number in numbers:
            source = self.sources[number]
            batch = UnitBatch.submitted(source, np.arange(len(source)) + number * len(source), number * _MOST)
            batches.append(batch if self.rows is None else batch.select(np.array(self.rows[number])))
        batch = UnitBatch.cat(batches)
        for stage in () if fresh else self.before:
            batch.exits = left_behind({}, trunk_of(stage), stage(batch).state, frozenset({trunk_of(self.stage)}))
        return batch


@dataclass(frozen=True)
class Ran:
    """What a stage gave, unit by unit in the order of the batch.

    Args:
        ticket: of each unit.
        values: its scores, 0 where a pixel is not of the unit.
        macs: what it pays.
        features: None where there are none.
        outputs: as the stage gave them.
    """

    ticket: np.ndarray
    values: Tensor
    macs: np.ndarray
    features: Tensor | None = None
    outputs: Sequence[StageOutput] = field(default=(), repr=False)

    def of(self, ticket: np.ndarray) -> Ran:
        """The same of some of the units."""
        places = {int(t): place for place, t in enumerate(self.ticket)}
        rows = [places[int(t)] for t in ticket]
        features = None if self.features is None else self.features[rows]
        return Ran(ticket, self.values[rows], self.macs[rows], features)


def parts_of(stage: Any, batch: UnitBatch) -> list[UnitBatch]:
    """What the router runs a stage on."""
    return list(stage.parts(batch)) if hasattr(stage, 'parts') else [batch]


def run(stage: Any, batch: UnitBatch) -> Ran:
    """Run a stage as the router does."""
    parts = parts_of(stage, batch)
    outputs = [stage(part) for part in parts]
    macs = [np.broadcast_to(np.asarray(o.macs), len(p)) for o, p in zip(outputs, parts, strict=True)]
    features = [o.features for o in outputs if o.features is not None]
    found = Ran(
        np.concatenate([part.ticket for part in parts]),
        torch.cat([_scores(output) for output in outputs]).cpu(),
        np.concatenate(macs),
        torch.cat(features).cpu() if features else None,
    )
    return replace(found.of(batch.ticket), outputs=outputs)


def _scores(output: StageOutput) -> Tensor:
    """At all pixels, where there are some."""
    whole = output if output.pixels is None else output.pixels.output()
    return whole.values if whole.valid is None else torch.where(whole.valid[:, None], whole.values, 0)


def assert_agree(found: Ran, whole: Ran, tolerance: float, macs: bool = True) -> None:
    """Whether units got what they get in another batch."""
    right = whole.of(found.ticket)
    torch.testing.assert_close(found.values, right.values, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(found.features, right.features, rtol=tolerance, atol=tolerance)
    if macs:
        np.testing.assert_allclose(found.macs, right.macs, rtol=1e-12)


@contextmanager
def counting() -> Iterator[FlopCounterMode]:
    """Inside, torch counts; attention is written out, as the fused kernel of processors is none that it knows."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        yield counter
