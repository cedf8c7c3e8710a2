# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Whether the score maps of an image fit into memory, known before it is labelled."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from mmcascade.models.cells.grid import Size

# At the same time there are a member's scores, the same cut into cells, and their probabilities, in float32.
_MAPS = 3
_LIMIT_OF_GROUP = Path('/sys/fs/cgroup/memory.max')


class ImageTooLargeError(ValueError):
    """The scores of an image do not fit into memory."""


def map_bytes(size: Size, classes: int) -> int:
    """The least memory for the scores of all pixels of an image, in bytes."""
    return 4 * _MAPS * classes * size[0] * size[1]


def memory_of(device: torch.device) -> int:
    """All memory of a device, in bytes, free or not: of the processor, what this process may use of it."""
    if device.type == 'cuda':
        return torch.cuda.get_device_properties(device).total_memory
    whole = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    try:
        return min(whole, int(_LIMIT_OF_GROUP.read_text()))
    except (OSError, ValueError):  # no groups here, or no limit ('max')
        return whole


def check_fits(size: Size, classes: int, device: torch.device) -> None:
    """Raise ImageTooLargeError if no emptier device of this kind could label an image.

    Args:
        size: of the original image.
        classes: of the member.
        device: where it runs.
    """
    needed, there = map_bytes(size, classes), memory_of(device)
    if needed > there:
        raise ImageTooLargeError(
            f'an image of {size[0]} x {size[1]} pixels takes at least {needed / 2**30:.1f} GiB for the scores of its '
            f'{classes} classes, and {device} has {there / 2**30:.1f} GiB; cut the image into tiles that are tested '
            'one by one, or make it smaller'
        )
