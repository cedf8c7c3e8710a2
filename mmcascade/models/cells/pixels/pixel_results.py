# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What is kept of finished cells."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmcascade.models.cells.pixels.best_class import best_class
from mmcascade.routing import CascadeState, StageOutput
from mmcascade.routing.confidences.cell_confidence import CellConfidence
from mmcascade.routing.fusion.distribution import log_floored


@dataclass(frozen=True)
class PixelResults:
    """The labels of cells and, where asked for, more; probabilities go as soon as a cell is finished.

    Args:
        confidence: whose function of a pixel is mapped as 'confidence_map', float32 ``(N, h, w)``; None = no map.
        seg_logits: keep 'seg_logits', the fused log-probabilities ``(N, C, h, w)``.
    """

    confidence: CellConfidence | None = None
    seg_logits: bool = False

    def __call__(self, state: CascadeState, output: StageOutput, rows: Tensor | None) -> dict[str, Tensor]:
        """Run it; see the class."""
        kept = {'labels': labels_of(state, output, rows)}
        if self.confidence is None and not self.seg_logits:
            return kept
        score = None if self.confidence is None else self.confidence.member_score(state.fusion)
        state = _of(state, rows).everywhere(score)
        if self.confidence is not None:
            finite = state.has_finite.view(-1, 1, 1)
            kept['confidence_map'] = torch.where(finite, self.confidence.pixel.score(state), -torch.inf).float()
        if self.seg_logits:
            kept['seg_logits'] = log_floored(state.fused.probs)
        return kept


def labels_of(state: CascadeState, output: StageOutput, rows: Tensor | None = None) -> Tensor:
    """The most probable class of every pixel, ``(N, h, w)``; uint8 where there are at most 256 classes.

    Args:
        state: of some units.
        output: of the stage that ran last, on these units.
        rows: int64 ``(N)``, for which of them; None = all.
    """
    if state.ran > 1 and state.fusion != 'replace':
        fused = _of(state, rows).everywhere().fused
        return best_class(fused.probs if fused.logits is None else fused.logits)
    # Scores that softmax rounds to the same probability are still told apart, as the member itself would. Softmax keeps
    # the order of the classes, so nothing of the state is needed.
    if output.pixels is None:
        labels = _best_of(output.values, rows)
    else:
        labels = (output.pixels if rows is None else output.pixels.select(rows.tolist())).labels()
    if output.all_finite:
        return labels
    finite = output.finite_rows() if rows is None else output.finite_rows().index_select(0, rows)
    if output.pixels is not None and finite.all():  # to know it is less than to make all pixels
        return labels
    return torch.where(finite.view(-1, 1, 1), labels, best_class(_of(state, rows).everywhere().fused.probs))


def _of(state: CascadeState, rows: Tensor | None) -> CascadeState:
    return state if rows is None else state.select(rows)


def _best_of(scores: Tensor, rows: Tensor | None) -> Tensor:
    """The best classes of some rows, without a copy of their scores where the rows are known on the host."""
    if rows is None:
        return best_class(scores)
    if scores.device.type != 'cpu' or not len(rows):
        return best_class(scores.index_select(0, rows))
    return torch.cat([best_class(scores[row : row + 1]) for row in rows.tolist()])
