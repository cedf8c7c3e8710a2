# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Networks with random weights, which take as long as any others but whose values grow from layer to layer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def settling_norms(network: nn.Module) -> Iterator[None]:
    """Inside, batch norms gather the statistics of what they see, and keep their mean afterwards.

    Without them values grow by the layer, and rounding with them, so that a graph would be refused for it. Norms that
    see nothing keep what they had; one that sees a single value per channel raises a ValueError, as in training.
    """
    norms = [part for part in network.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train().momentum = None  # the mean of what it sees, and of nothing that it saw before
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.zero_()
    try:
        yield
    finally:
        for norm, momentum in zip(norms, usual, strict=True):
            norm.eval().momentum = momentum
            if norm.running_var is not None and norm.running_mean is not None:
                norm.running_var.nan_to_num_(1.0).clamp_(min=1e-3)
                norm.running_mean.nan_to_num_(0.0)
