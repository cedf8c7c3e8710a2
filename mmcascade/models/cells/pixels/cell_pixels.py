# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The pixels of cells, which several runs of a member may have given."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mmcascade.models.cells.pixels.scores import Cells, MadeScores, Scores
from mmcascade.routing import StageOutput
from mmcascade.routing.fusion.stage_output import Pixels
from mmcascade.routing.fusion.state import thinned


@dataclass(frozen=True)
class CellPixels(Pixels):
    """All pixels of the frames of N cells.

    Args:
        units: for each cell the scores that it lies in, and its number in its grid. Cells of the same scores that
            stand together are made together.
        logits: whether scores are logits, and not probabilities.
    """

    units: tuple[tuple[Scores, int], ...]
    logits: bool = True

    def select(self, rows: Iterable[int]) -> CellPixels:
        """See the base class."""
        return CellPixels(tuple(self.units[row] for row in rows), self.logits)

    def joined(self, others: Sequence[Pixels]) -> CellPixels:
        """See the base class."""
        more = (other.units for other in others if isinstance(other, CellPixels))
        return CellPixels(tuple(itertools.chain(self.units, *more)), self.logits)

    def output(self) -> StageOutput:
        """See the base class."""
        return self._output(concatenated([scores.frames(cells) for scores, cells in self._runs()]), self._valid())

    def labels(self) -> Tensor:
        """See the base class."""
        return concatenated([scores.labels(cells) for scores, cells in self._runs()])

    def every(self, step: int) -> StageOutput:
        """The output at every so many-th pixel; NaN for a cell that has scores which are not finite anywhere."""
        values = concatenated([scores.every(step, cells) for scores, cells in self._runs()])
        finite = concatenated([scores.finite(cells) for scores, cells in self._runs()])
        if finite.device.type != 'cpu' or not finite.all():
            values = torch.where(finite.view(-1, 1, 1, 1), values, torch.nan)
        valid = self._valid()
        return replace(self._output(values, None if valid is None else thinned(valid, step)), pixels=self)

    def made(self) -> CellPixels:
        """See the base class."""
        frames = self.output().values
        units = zip(self.units, frames.unbind(0), strict=True)
        return CellPixels(tuple((MadeScores(scores.grid, x), cell) for (scores, cell), x in units), self.logits)

    def own(self) -> CellPixels:
        """See the base class."""
        own = {id(scores): scores.own() for scores, _ in self.units}
        return CellPixels(tuple((own[id(scores)], cell) for scores, cell in self.units), self.logits)

    def tensors(self) -> Iterator[Tensor]:
        """See the base class."""
        for scores in {id(scores): scores for scores, _ in self.units}.values():
            yield from scores.tensors()

    def _runs(self) -> Iterator[tuple[Scores, Cells]]:
        for _, units in itertools.groupby(self.units, lambda unit: id(unit[0])):
            together = list(units)
            yield together[0][0], np.array([cell for _, cell in together])

    def _valid(self) -> Tensor | None:
        if all(scores.grid.even for scores, _ in self.units):
            return None
        return concatenated([scores.grid.valid(cells) for scores, cells in self._runs()])

    def _output(self, values: Tensor, valid: Tensor | None) -> StageOutput:
        valid = None if valid is None else valid.to(values.device)
        return StageOutput(values, valid=valid) if self.logits else StageOutput(None, values, valid=valid)


def concatenated(pieces: Sequence[Tensor]) -> Tensor:
    """Tensors one after the other along dimension 0; a single one without a copy."""
    return pieces[0] if len(pieces) == 1 else torch.cat(list(pieces))
