# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Whether the first scores of a member are what they are taken for."""

from __future__ import annotations

import math
import warnings

from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from mmcascade.routing import StageOutput

# Half-precision probabilities of a thousand classes may be this far from a sum of one.
_ROUNDING = 0.02
_CLOSE = 1e-3
_SIDE = 64


def check_first_scores(member: str, output: StageOutput) -> None:
    """Look at a first batch of class scores ``(N, C, ...)``; rows that are not finite are left aside.

    Warns if there is no other row, since the other members then decide alone; and if what counts as logits are
    probabilities: they would go through a second softmax, which makes every prediction unsure.

    Raises:
        ValueError: what counts as probabilities has a negative number, or does not sum to one.
    """
    values = output.values
    if isinstance(values, FakeTensor) or values.is_meta:
        return
    if values.dim() == 4:  # of a segmentor, whose pixels need not all be looked at
        step = 1 + math.isqrt(values[0, 0].numel()) // _SIDE
        values = values[..., ::step, ::step]
    rows = values.movedim(1, -1).flatten(0, -2)
    rows = rows[rows.isfinite().all(1)].double()
    if not len(rows):
        if len(values):
            warnings.warn(
                f'member {member!r} gave no finite score for any of its first {len(values)} input(s), so the others '
                'decide alone; check its weights and its precision',
                stacklevel=2,
            )
        return
    if output.logits is not None:
        if _are_probabilities(rows, _CLOSE):
            warnings.warn(
                f'the scores of member {member!r} are all >= 0 and sum to 1, so they look like probabilities, but they '
                'are taken for logits and go through a softmax. If the network ends in a softmax, leave that out, or '
                'take the logarithm of its output',
                stacklevel=2,
            )
    elif not _are_probabilities(rows, _ROUNDING):
        row = next(row for row in rows if not _are_probabilities(row[None], _ROUNDING))
        raise ValueError(
            f"member {member!r} gives 'probabilities' that are none: a row from {float(row.min()):.4g} to "
            f'{float(row.max()):.4g} that sums to {float(row.sum()):.4g}, expected numbers >= 0 that sum to 1. '
            'Its predict() must set pred_score to the softmax of its scores'
        )


def _are_probabilities(rows: Tensor, tolerance: float) -> bool:
    return bool((rows >= -(tolerance**2)).all() and ((rows.sum(1) - 1).abs() <= tolerance).all())
