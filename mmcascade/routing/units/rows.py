# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One entry for each unit, stacked where they have one shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

#: The entries of N units: a tensor ``(N, ...)``, or a tuple of N tensors where these differ in shape, as the cells of
#: images of several sizes do.
Rows = Tensor | tuple[Tensor, ...]


def picked(rows: Rows, which: np.ndarray | slice, pick: Callable[[Tensor], Tensor]) -> Rows:
    """Some of the entries: ``pick`` does for a tensor what indexing with ``which`` does for a tuple."""
    if isinstance(rows, Tensor):
        return pick(rows)
    return tuple(rows[index] for index in np.arange(len(rows))[which].tolist())


def joined(parts: Sequence[Rows]) -> Rows:
    """The entries of several units after one another; stacked if all have one shape."""
    stacked = [part for part in parts if isinstance(part, Tensor)]
    if len(stacked) == len(parts) and len({part.shape[1:] for part in stacked}) == 1:
        return torch.cat(stacked)
    return tuple(row for part in parts for row in part)


def stacked(rows: Rows) -> Tensor:
    """The entries as one tensor ``(N, ...)``.

    Raises:
        RuntimeError: if they have several shapes.
    """
    return rows if isinstance(rows, Tensor) else torch.stack(rows)


def nbytes(rows: Rows) -> int:
    """Memory of the entries."""
    return rows.nbytes if isinstance(rows, Tensor) else sum(row.nbytes for row in rows)


def on_host(rows: Rows) -> Rows:
    """The entries on the host."""
    return rows.cpu() if isinstance(rows, Tensor) else tuple(row.cpu() for row in rows)
