# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Which frames of a clip a stage sees: few first, and more only where they are needed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

#: Orders of the dimensions of clips, and where the frames are in each.
LAYOUTS = {'NTCHW': 1, 'NCTHW': 2}


@dataclass(frozen=True)
class Layout:
    """The order of the dimensions of the clips of a view, and of those that the member takes.

    Attributes:
        view, member: keys of :data:`LAYOUTS`.

    Example:
        >>> Layout('NCTHW', 'NTCHW')(torch.zeros(2, 3, 16, 8, 8)).shape
        torch.Size([2, 16, 3, 8, 8])
    """

    view: str = 'NTCHW'
    member: str = 'NTCHW'

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return self.view != self.member

    def __call__(self, clips: Tensor) -> Tensor:
        """The clips of a view as the member takes them, in the same memory.

        Raises:
            ValueError: if these are no clips.
        """
        if clips.dim() != 5:
            raise ValueError(f'layout= is for clips, and this view is a tensor of shape {tuple(clips.shape)}')
        return clips.transpose(1, 2) if self.changes else clips

    def shape(self, source: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a clip as the member takes it."""
        return (source[1], source[0], *source[2:]) if self.changes else source


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

    def __call__(self, clips: Tensor, layout: str = 'NTCHW') -> Tensor:
        """The frames of clips.

        Args:
            clips: in the order that ``layout`` names.
            layout: a key of :data:`LAYOUTS`.

        Raises:
            ValueError: if these are no clips, or too short.
        """
        if clips.dim() != 5:
            raise ValueError(
                f'frames= is for clips (N, T, C, H, W) or (N, C, T, H, W), and this view is a tensor of shape '
                f'{tuple(clips.shape)}; load clips in the data pipeline, such as with mmcascade.LoadFrames'
            )
        dim = LAYOUTS[layout]
        chosen = self.indexes(clips.shape[dim])
        if chosen == list(range(clips.shape[dim])):
            return clips
        return clips.index_select(dim, torch.as_tensor(chosen, device=clips.device))

    def shape(self, source: tuple[int, ...], layout: str = 'NTCHW') -> tuple[int, ...]:
        """The shape of a clip, ``(T, C, H, W)`` or as ``layout`` has it, after they are taken."""
        dim = LAYOUTS[layout] - 1
        return (*source[:dim], len(self.indexes(source[dim])), *source[dim + 1 :])

    def __str__(self) -> str:
        number, parts = self.part
        count = 'all' if self.count is None else str(self.count)
        return f'{count} frames' + (f' of part {number} of {parts}' if parts > 1 else '')
