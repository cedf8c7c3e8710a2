# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The label of a pixel: its class of the highest score, of several the first."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def best_class(scores: Tensor) -> Tensor:
    """The labels of maps ``(N, C, h, w)``, ``(N, h, w)``; uint8 where there are at most 256 classes."""
    classes = scores.shape[1]
    dtype = _dtype(classes)
    if scores.device.type != 'cpu':
        return scores.argmax(1).to(dtype)
    # torch's argmax over a dimension that is not the last takes ten times as long on a processor.
    best = scores.amax(1)
    from_last = torch.zeros(best.shape, dtype=dtype)
    for number in range(classes - 1):
        hit = (scores[:, number] == best).to(dtype)
        torch.maximum(from_last, hit.mul_(classes - 1 - number), out=from_last)
    return (classes - 1) - from_last


def best_of_planes(planes: Iterable[Tensor], classes: int) -> Tensor:
    """The same of finite maps that come class by class, each ``(N, h, w)``, and need not be there at the same time."""
    rest = iter(planes)
    best = next(rest).clone()
    labels = torch.zeros(best.shape, dtype=_dtype(classes), device=best.device)
    for number, scores in enumerate(rest, 1):
        labels.masked_fill_(scores > best, number)
        torch.maximum(best, scores, out=best)
    return labels


def _dtype(classes: int) -> torch.dtype:
    return torch.uint8 if classes <= 256 else torch.int64
