# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Writing weights, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mmcascade._system.files import written_whole


def save_weights(content: Any, path: str | Path) -> None:
    """Write what ``torch.save`` takes; the folder is made.

    Raises:
        OSError: naming the path, if it cannot be written; the old file is as it was.
    """
    with written_whole(path, 'wb') as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:  # torch, which ends its archive when the disk is full already
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
