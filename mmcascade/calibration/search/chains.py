# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Which stages may follow each other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.replay.costs import Chain

ORDERS = ('cost', 'any')


def extended(chains: Iterable[Chain], costs: Sequence[float] | NDArray[np.float64], order: str = 'cost') -> list[Chain]:
    """Every chain with one stage more, no stage twice.

    Args:
        chains: what to extend; the empty chain gives the single stages.
        costs: mean cost per stage.
        order: 'cost' lets no stage follow a more expensive one (Wang et al. 2022), stages of equal cost stand in
            either order; 'any' lets all orders be.
    """
    return [
        (*chain, stage)
        for chain in chains
        for stage in range(len(costs))
        if stage not in chain and (order == 'any' or not chain or costs[stage] >= costs[chain[-1]])
    ]


def count_chains(length: int, costs: Sequence[float] | NDArray[np.float64], order: str = 'cost') -> int:
    """How many chains of a length there are, without listing them."""
    if order == 'any':
        return math.perm(len(costs), length)
    # Stages of equal cost can be chosen in any order, others in one: a product of generating functions.
    total = [1]
    for equal in np.unique(costs, return_counts=True)[1]:
        factor = [math.perm(int(equal), k) for k in range(int(equal) + 1)]
        product = [0] * (len(total) + len(factor) - 1)
        for i, a in enumerate(total):
            for j, b in enumerate(factor):
                product[i + j] += a * b
        total = product
    return total[length] if length < len(total) else 0
