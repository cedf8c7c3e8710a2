# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What the members of a cascade in Python give for labelled units."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmcascade.apis.cascade_inputs import Batch, MemberViews
from mmcascade.apis.plain_stage import PlainStage
from mmcascade.calibration.stores.identity import CascadeIdentity
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.routing import CachedStage, ExitState, StageOutput, UnitBatch
from mmcascade.routing.exits.exit_state import left_behind, trunk_of

#: Batches of inputs with their labels, int ``(N)``.
Loader = Iterable[tuple[Batch, Any]]


@dataclass(frozen=True)
class MemberOutputs:
    """Every member's output for every unit.

    Attributes:
        outputs: one per stage, each of all ``N`` units in their order; an exit that goes on from an earlier one has
            the multiply-adds after that.
        labels: int ``(N)``.
        trunks: per stage a number that the exits of one network have in common; None = it stands alone.
    """

    outputs: Sequence[StageOutput]
    labels: NDArray[np.int64]
    trunks: Sequence[int | None]

    @classmethod
    def of(cls, stages: Sequence[PlainStage], views: MemberViews, loader: Loader) -> MemberOutputs:
        """Run all stages on all units.

        Raises:
            ValueError: if there is no batch, or one with another number of labels than of images.
        """
        pieces: list[list[StageOutput]] = [[] for _ in stages]
        labels = []
        trunks = [trunk_of(stage) for stage in stages]
        for batch, given in loader:
            source = views.source(batch)
            units = UnitBatch.submitted(source, np.arange(len(source)), 0)
            for index, (stage, own) in enumerate(zip(stages, pieces, strict=True)):
                output = stage(units)
                units.exits = left_behind(
                    units.exits, trunks[index], output.state, frozenset(trunks[index + 1 :]) - {None}
                )
                own.append(output if output.state is None else replace(output, state=replace(output.state, rows=())))
            labels.append(np.asarray(given, dtype=np.int64))
            if len(labels[-1]) != len(source):
                raise ValueError(f'a batch has {len(source)} images and {len(labels[-1])} labels')
        if not labels:
            raise ValueError('the loader gave no batch')
        numbers = {trunk: number for number, trunk in enumerate(dict.fromkeys(trunks)) if trunk is not None}
        return cls([_joined(own) for own in pieces], np.concatenate(labels), [numbers.get(trunk) for trunk in trunks])

    def store(self, folder: Path, identity: CascadeIdentity) -> ScoreStore:
        """Write them as a score store."""
        return ScoreStore.of_outputs(
            folder, identity.stages, self.outputs, self.labels, identity.precision, self.trunks
        )

    def cached(self, temperatures: Sequence[float]) -> list[CachedStage]:
        """Them as stages, which any chain can be replayed on."""
        return [
            CachedStage(
                output.values,
                macs=self._from_the_input(index),
                temperature=temperature,
                trunk=trunk,
                exit=0 if output.state is None else output.state.after,
                spent=None if output.state is None else torch.as_tensor(output.state.spent),
            )
            for index, (output, temperature, trunk) in enumerate(
                zip(self.outputs, temperatures, self.trunks, strict=True)
            )
        ]

    def _from_the_input(self, index: int) -> Tensor:
        """Multiply-adds of a stage run from its input."""
        macs = torch.as_tensor(self.outputs[index].macs)
        before = [k for k in range(index) if self.trunks[k] is not None and self.trunks[k] == self.trunks[index]]
        state = self.outputs[before[-1]].state if before else None
        return macs if state is None else macs + torch.as_tensor(state.spent)


def _joined(pieces: Sequence[StageOutput]) -> StageOutput:
    def of_units(values: Sequence[float | Tensor]) -> Tensor:
        each = zip(values, pieces, strict=True)
        return torch.cat([torch.as_tensor(x).double().expand(len(piece.values)) for x, piece in each])

    states = [piece.state for piece in pieces if piece.state is not None]
    state = ExitState(states[0].after, (), spent=of_units([s.spent for s in states])) if states else None
    logits = torch.cat([piece.values.cpu() for piece in pieces])
    return StageOutput(logits=logits, macs=of_units([piece.macs for piece in pieces]), state=state)
