# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcascade.calibration.replay.cuts import cut_points

SCORES = st.lists(
    st.one_of(st.floats(-50, 50, width=32), st.sampled_from([0.5, 1.0, -np.inf])), min_size=1, max_size=40
)


@given(SCORES, st.integers(0, 12))
def test_cuts_lie_between_distinct_scores(values, count):
    scores = np.array(values, np.float32)
    cuts = cut_points(scores, count)
    assert cuts.dtype == np.float32
    assert len(cuts) <= count
    assert (np.diff(cuts) > 0).all()
    assert not np.isin(cuts, scores).any()
    finite = np.unique(scores[np.isfinite(scores)])
    for cut in cuts:
        below, above = finite[finite < cut].max(), finite[finite > cut].min()
        assert cut == pytest.approx((below.astype(float) + above) / 2, rel=1e-6, abs=1e-30)


def test_parts_are_of_equal_size():
    scores = np.random.default_rng(0).permutation(1000).astype(np.float32)
    cuts = cut_points(scores, 9)
    assert np.diff(np.searchsorted(np.sort(scores), cuts)).tolist() == [100] * 8
    assert cuts[0] == 99.5


def test_every_gap_between_scores_can_be_had():
    scores = np.array([3, 1, 2, 2, 7], np.float64)
    assert cut_points(scores, 99).tolist() == [1.5, 2.5, 5.0]


@pytest.mark.parametrize(
    'scores',
    [
        np.full(7, 0.25, np.float32),
        np.full(3, -np.inf),
        np.array([1, np.nextafter(np.float32(1), np.float32(2))], np.float32),
    ],
    ids=['equal', 'nothing', 'neighbours'],
)
def test_no_cut_where_nothing_lies_between(scores):
    assert cut_points(scores, 5).size == 0


def test_huge_scores_do_not_overflow():
    assert np.isfinite(cut_points(np.array([-3e38, 3e38, 3.2e38], np.float32), 2)).all()


def test_of_two_equally_near_places_the_lower_is_taken():
    # 8 units, one cut: the wanted place is 4, and the ties leave cuts after 2 and after 6 units.
    scores = np.array([1, 1, 2, 2, 2, 2, 3, 3], np.float64)
    assert cut_points(scores, 1).tolist() == [1.5]
