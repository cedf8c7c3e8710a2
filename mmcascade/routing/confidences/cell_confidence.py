# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How certain a cascade is of a cell: the confidences of its pixels, as one number."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcascade.routing.checks import is_number, whole
from mmcascade.routing.confidences.confidence import CONFIDENCE_TYPES, Confidence, build_confidence
from mmcascade.routing.confidences.pixel_reducers import PixelReducer, build_reducer
from mmcascade.routing.fusion.state import CascadeState, MemberScore

EMPTY = ('go_on', 'exit')


@CONFIDENCE_TYPES.register()
class CellConfidence(Confidence):
    """The confidence of a cell (Wang et al. 2022, section 4.5): over pixels whose largest probability exceeds t_unk.

    Regions that carry no label in the training data, such as the bonnet of the camera car, look uncertain to every
    member and cannot be told at test time; the rule leaves pixels that nobody can be certain of out of the mean.

    Args:
        pixel: the confidence of a pixel, a name in :data:`~mmcascade.routing.CONFIDENCES` or such an object.
        reduce: 'mean', 'quantile' or 'fraction_below', or a
            :class:`~mmcascade.routing.confidences.pixel_reducers.PixelReducer`.
        t_unk: pixels whose largest fused probability is at most this do not count, whatever the confidence of a pixel
            is; None = all count. Wang et al. use 0.5.
        empty: what a cell does of which no pixel counts, 'go_on' or 'exit', in every gap that is not closed. Its score
            is NaN.
        stride: look at every so many-th pixel in both directions. The stride of the members' heads, such as 4 or 8,
            loses next to nothing, since the maps were enlarged by it, and saves most of the work: above 1, all pixels
            are made for finished cells only.

    Raises:
        ValueError: on values out of range, naming what was expected.
    """

    def __init__(
        self,
        pixel: str | Confidence = 'max_prob',
        reduce: str | PixelReducer = 'mean',
        t_unk: float | None = 0.5,
        empty: str = 'go_on',
        stride: int = 1,
    ) -> None:
        self.pixel = build_confidence(pixel)
        if self.pixel.needs_features:
            raise ValueError(
                f'{self.pixel.name} reads features of whole images; a pixel has none. Use one of the '
                "confidence functions by name, such as 'max_prob'"
            )
        self.reducer = build_reducer(reduce)
        if t_unk is not None and not (is_number(t_unk) and 0 <= t_unk < 1):
            raise ValueError(f't_unk is a probability in [0, 1), or None to let every pixel count, got {t_unk!r}')
        self.t_unk = None if t_unk is None else float(t_unk)
        if empty not in EMPTY:
            raise ValueError(f'empty says what a cell does of which no pixel counts, one of {EMPTY}, got {empty!r}')
        self.empty: str = empty
        self.stride = whole(stride, 'stride, in pixels,', least=1)

    @property
    def needs_logits(self) -> bool:  # type: ignore[override]
        """Whether members have to give logits."""
        return self.pixel.needs_logits

    @property
    def name(self) -> str:
        """What calibrations call it: equal names give equal scores."""
        counted = 'all pixels' if self.t_unk is None else f'pixels above {self.t_unk:g}, else {self.empty}'
        thinned = '' if self.stride == 1 else f', every {self.stride}'
        return f'{self.reducer.name} of {self.pixel.name} over {counted}{thinned}'

    def member_score(self, fusion: str) -> MemberScore | None:
        """The function of a stage's output that is averaged over the members, or None."""
        return self.pixel.member_score(fusion)

    def score(self, state: CascadeState) -> Tensor:
        """The number of each unit, ``(N, ...)``; see the base class."""
        if self.stride > 1:
            state = state.every(self.stride)
        confidence = self.pixel.score(state)
        counts = torch.ones_like(confidence, dtype=torch.bool) if state.valid is None else state.valid
        if self.t_unk is not None:
            best = confidence if self.pixel.name == 'max_prob' else state.fused.probs.amax(1)
            counts = counts & (best > self.t_unk)
        return self.reducer(confidence, counts)
