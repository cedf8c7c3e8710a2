# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The edges of paper 1's rule for the operating point."""

from __future__ import annotations

import numpy as np
import pytest

from mmcascade.evaluation.curves import selective_curves
from mmcascade.evaluation.curves.ranking import ranking


@pytest.fixture
def small(monkeypatch):
    """Few ranks to skip, and blocks of four units."""
    monkeypatch.setattr(selective_curves, 'NEAREST_POINT_SKIP', 3)
    monkeypatch.setattr(ranking, '_BLOCK', 4)


def test_one_unit_more_than_are_skipped_is_enough(small):
    assert selective_curves.nearest_rank([4, 3, 2, 1], [0, 0, 0, 1], 0.25) == 4
    with pytest.raises(ValueError, match='skips the first 3 ranks and needs more units than that, got 3; use'):
        selective_curves.nearest_rank([3, 2, 1], [0, 0, 1], 0.25)


def test_of_equally_near_ranks_the_smallest_is_taken_whatever_block_it_lies_in(small):
    scores = np.arange(40, 0, -1)
    assert selective_curves.nearest_rank(scores, np.zeros(40, int), 0.0) == 3
    assert selective_curves.nearest_rank(scores, np.ones(40, int), 1.0) == 3


def test_a_target_that_is_no_share_is_named():
    with pytest.raises(ValueError, match='^risk must be a fraction'):
        selective_curves.nearest_rank([2, 1], [0, 1], 1.5)
