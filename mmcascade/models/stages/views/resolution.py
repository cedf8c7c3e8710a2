# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Whether a member takes images of a size, known before it is given any."""

from __future__ import annotations

from torch import Tensor, nn

from mmcascade.routing import MacCounter

_COLOURS = 3
#: What to do where a classifier does not take images of a size.
FIXED_SIZE = (
    'If its backbone has a fixed input size, give its stage a view (or resize=) of that size; Swin takes other sizes '
    "with pad_small_map=True in its backbone, and timm's ViT with dynamic_img_size=True"
)


def macs_at(
    member: str, counter: MacCounter, images: Tensor, runs_on: str = 'images', remedy: str = FIXED_SIZE
) -> float:
    """Multiply-adds per image at this size, and proof that the member takes it: counting runs it on one empty row.

    Convolutional networks take any size; MMPretrain's ViT, DeiT and BEiT resize their position embedding; Swin needs
    ``pad_small_map=True``; MLP-Mixer, RepMLP and most of timm's transformers are made for one size.

    Args:
        member: its name.
        counter: of the member.
        images: ``(N, C, H, W)``, of which only shape, type and device count.
        runs_on: what these are, in the message.
        remedy: what to do where the member fails.

    Raises:
        ValueError: if the member fails at this size, or at this number of channels.
    """
    try:
        return counter(images)
    except (AssertionError, IndexError, RuntimeError, ValueError) as error:  # backbones refuse a size in many ways
        reason = (str(error).strip().splitlines() or [''])[0]
        height, width = images.shape[-2:]
        takes = known_channels(counter.module)
        if takes not in (None, images.shape[-3]):
            raise ValueError(
                f'member {member!r} takes images of {takes} channel{"s" if takes != 1 else ""}, and these {runs_on} '
                f'have {images.shape[-3]}. Load them as it was trained: color_type of LoadImageFromFile makes '
                "3 channels of any file with 'color' and 1 with 'grayscale'; arrays are (H, W, channels)"
            ) from error
        raise ValueError(
            f'member {member!r} fails on {runs_on} of {height} x {width} pixels ({type(error).__name__}: {reason}). '
            + remedy
        ) from error


def known_channels(module: nn.Module | None) -> int | None:
    """How many channels a member's images have: those that its preprocessor normalises, or of its first convolution."""
    if module is None:
        return None
    mean = getattr(getattr(module, 'data_preprocessor', None), 'mean', None)
    if isinstance(mean, Tensor) and mean.numel() > 1:
        return mean.numel()
    return next((part.in_channels for part in module.modules() if isinstance(part, nn.Conv2d)), None)


def input_channels(module: nn.Module) -> int:
    """The same as :func:`known_channels`, or 3 where nothing says so."""
    return known_channels(module) or _COLOURS
