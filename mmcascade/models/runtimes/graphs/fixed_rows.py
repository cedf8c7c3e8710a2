# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Batches of any size through graphs that take a fixed number of rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mmcascade.models.runtimes.engines.engine import Session


class FixedRows:
    """A graph for full batches, and one for single rows, each opened when it is first needed.

    Args:
        open_for: opens the graph for a number of rows.
    """

    def __init__(self, open_for: Callable[[int], Session]) -> None:
        self.open_for = open_for
        self._sessions: dict[int, Session] = {}

    def __call__(self, images: np.ndarray, full: int | None = None) -> np.ndarray:
        """Class values of some rows.

        Args:
            images: raw, ``(N, 3, H, W)``.
            full: the rows of a full batch; None = all rows run one by one.
        """
        parts, start = [], 0
        for size in pieces(len(images), full or 1):
            rows = images[start : start + size]
            if size not in self._sessions:
                self._sessions[size] = self.open_for(size)
            parts.append(self._sessions[size](padded(rows, size))[: len(rows)])
            start += len(rows)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def in_chunks(session: Session, images: np.ndarray, size: int) -> np.ndarray:
    """All images through a graph, so many rows at a time, the last ones padded."""
    starts = range(0, len(images), size)
    parts = [session(padded(images[start : start + size], size)) for start in starts]
    return np.concatenate(parts)[: len(images)]


def pieces(n: int, full: int) -> list[int]:
    """The sizes of the graphs that n rows run through: full ones, the last padded where that saves runs.

    Example:
        >>> pieces(18, 8), pieces(13, 8), pieces(2, 1)
        ([8, 8, 1, 1], [8, 8], [1, 1])
    """
    rest = n % full
    return [full] * (n // full) + ([full] if 2 * rest > full else [1] * rest)


def padded(rows: np.ndarray, size: int) -> np.ndarray:
    """The rows, and the last one again and again up to ``size`` rows."""
    missing = size - len(rows)
    return rows if not missing else np.concatenate([rows, np.repeat(rows[-1:], missing, axis=0)])
