# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A view that a stage makes for itself, on its device, from a view of the pipeline."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mmcascade.models.stages.views.clip_frames import Frames, Layout
from mmcascade.routing.checks import is_whole

INTERPOLATIONS = ('bicubic', 'bilinear')


def resize_antialiased(images: Tensor, size: tuple[int, int], interpolation: str = 'bicubic') -> Tensor:
    """Images at another size, with the filter widened when it shrinks (antialiasing), as Pillow does.

    Args:
        images: ``(N, C, H, W)``, or clips ``(N, T, C, H, W)`` or ``(N, C, T, H, W)``; uint8, or floats of any range.
        size: height and width; the aspect ratio is the caller's business.
        interpolation: 'bicubic' or 'bilinear'.

    Returns:
        ``(N, C, *size)`` of the type it got. For uint8 they are rounded and cut to 0..255, within one grey level of
        Pillow's where nothing overshoots and, up to such a rounding, the same on every device.
    """
    if tuple(images.shape[-2:]) == size:
        return images
    # torch's integer filter is faster on a processor, but far off for some shapes, and fails for others.
    exact = images.float() if images.dtype == torch.uint8 else images
    maps = exact.flatten(1, -3)  # every frame of a clip by itself
    resized = functional.interpolate(maps, size, mode=interpolation, antialias=True, align_corners=False)
    resized = resized.view(*images.shape[:-2], *size)
    return resized.round().clamp(0, 255).to(torch.uint8) if images.dtype == torch.uint8 else resized


class DeviceView:
    """Raw images resized and mirrored where the member runs.

    A pipeline that makes one large view, from which stages take theirs, spends nothing on views that nobody reads. The
    pixels are close to those of a pipeline that resizes by itself, but not the same: these were resized twice.

    Args:
        resize: side of a square, or ``(height, width)``, in pixels; None = as the view is.
        flip: mirror left and right, after resizing.
        interpolation: 'bicubic' or 'bilinear', antialiased.
        frames: which frames of a clip, taken first; None = the view as it is.
        layout: of clips: the order of their dimensions, which is brought to that of the member at the end.

    Raises:
        ValueError: on a size that is no whole number from 1, or an unknown interpolation.
    """

    def __init__(
        self,
        resize: int | tuple[int, int] | None = None,
        flip: bool = False,
        interpolation: str = 'bicubic',
        frames: Frames | None = None,
        layout: Layout = Layout(),  # noqa: B008  # frozen
    ) -> None:
        self.size = None if resize is None else checked_size(resize)
        if interpolation not in INTERPOLATIONS:
            raise ValueError(f'interpolation is one of {INTERPOLATIONS}, got {interpolation!r}')
        self.flip = flip
        self.frames = frames
        self.layout = layout
        self.interpolation = interpolation
        self._warned = False

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return self.size is not None or self.flip or self.frames is not None or self.layout.changes

    def __call__(self, images: Tensor, device: torch.device) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C, *size)`` on a device; images stay where they are if there is nothing to do."""
        if self.frames is not None:
            images = self.frames(images, self.layout.view)
        if self.size is not None:
            self._warn_if_larger(tuple(images.shape[-2:]))
            images = resize_antialiased(images.to(device), self.size, self.interpolation)
        images = images.to(device).flip(-1) if self.flip else images
        return self.layout(images) if self.layout.changes else images

    def shape(self, source: tuple[int, ...]) -> tuple[int, ...]:
        """The shape ``(C, H, W)`` of an image, or ``(T, C, H, W)`` of a clip, as the member takes it."""
        source = source if self.frames is None else self.frames.shape(source, self.layout.view)
        return self.layout.shape(source if self.size is None else (*source[:-2], *self.size))

    @property
    def resizing(self) -> str | None:
        """How it resizes, as a word for files and tables: '160x160 bicubic', or None."""
        return None if self.size is None else f'{self.size[0]}x{self.size[1]} {self.interpolation}'

    def _warn_if_larger(self, source: tuple[int, ...]) -> None:
        assert self.size is not None
        if self._warned or all(now <= before for now, before in zip(self.size, source, strict=True)):
            return
        self._warned = True
        warnings.warn(
            f'resize={self.size} enlarges a view of {source[0]} x {source[1]} pixels, which adds cost but no detail; '
            'make the view at least as large in the data pipeline',
            stacklevel=4,
        )


def checked_size(resize: Any) -> tuple[int, int]:
    """Height and width.

    Raises:
        ValueError: if that is not what it is.
    """
    size = (resize, resize) if isinstance(resize, int) else tuple(resize) if isinstance(resize, (list, tuple)) else ()
    if len(size) != 2 or not all(is_whole(side, 1) for side in size):
        raise ValueError(f'resize is the side of a square or (height, width), in whole pixels from 1, got {resize!r}')
    return size[0], size[1]
