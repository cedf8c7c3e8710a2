# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Which frames of a clip a stage sees: few first, and more only where they are needed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Frames:
    """Frames evenly spaced over a clip ``(T, C, H, W)``, or over one of its equal parts.

    Args:
        count: how many; each is the middle one of as many equal pieces. None = all.
        part: which part of the clip and of how many, from 0; a whole clip is part 0 of 1.

    Example:
        >>> Frames(4).indexes(16), Frames(2, (1, 2)).indexes(16)
        ([2, 6, 10, 14], [10, 14])
    """

    count: int | None = None
    part: tuple[int, int] = (0, 1)

    def indexes(self, frames: int) -> list[int]:
        """Which of so many frames.

        Raises:
            ValueError: if there are fewer than asked for.
        """
        number, parts = self.part
        first, stop = number * frames // parts, (number + 1) * frames // parts
        count = stop - first if self.count is None else self.count
        if not 0 < count <= stop - first:
            where = '' if parts == 1 else f', of which part {number} of {parts} has {stop - first}'
            raise ValueError(
                f'a stage takes {count} frames, and the clips of its view have {frames}{where}; load more frames in '
                'the data pipeline, or ask for fewer with frames='
            )
        return [first + (2 * k + 1) * (stop - first) // (2 * count) for k in range(count)]

    def __call__(self, clips: Tensor) -> Tensor:
        """The frames of clips ``(N, T, C, H, W)``.

        Raises:
            ValueError: if these are no clips, or too short.
        """
        if clips.dim() != 5:
            raise ValueError(
                f'frames= is for clips (N, T, C, H, W), and this view is a tensor of shape {tuple(clips.shape)}; load '
                'clips in the data pipeline, such as with mmcascade.LoadFrames'
            )
        chosen = self.indexes(clips.shape[1])
        if chosen == list(range(clips.shape[1])):
            return clips
        return clips.index_select(1, torch.as_tensor(chosen, device=clips.device))

    def shape(self, source: tuple[int, ...]) -> tuple[int, ...]:
        """The shape ``(T, C, H, W)`` of a clip after they are taken."""
        return (len(self.indexes(source[0])), *source[1:])

    def __str__(self) -> str:
        number, parts = self.part
        count = 'all' if self.count is None else str(self.count)
        return f'{count} frames' + (f' of part {number} of {parts}' if parts > 1 else '')
