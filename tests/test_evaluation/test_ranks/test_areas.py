# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from mmcascade.evaluation.curves.ranking.areas import reciprocal_sum


@pytest.mark.parametrize('start', [0, 1, 5, 20, 28, 31, 32, 1000])
def test_reciprocal_sums_are_exact_to_float64(start):
    counts = [1, 4, 5, 33, 40, 64, 100, 500]
    sums = reciprocal_sum(np.full(len(counts), float(start)), np.array(counts)).tolist()
    for count, found in zip(counts, sums, strict=True):
        exact = sum(Fraction(1, start + j) for j in range(1, count + 1))
        assert abs(Fraction(found) - exact) <= exact * Fraction(1, 10**15)


@pytest.mark.parametrize('start', [0.0, 0.3, 1.0, 31.5, 1000.0, 1e7])
def test_reciprocal_sums_equal_the_exact_sum(start):
    counts = np.array([0, 1, 2, 31, 32, 33, 40, 100, 10_000])
    exact = [math.fsum(1 / (start + j) for j in range(1, count + 1)) for count in counts]
    assert reciprocal_sum(np.full(counts.size, start), counts).tolist() == pytest.approx(exact, rel=2e-15, abs=0)
