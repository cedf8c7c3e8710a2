# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mmcascade.evaluation.curves.histograms.score_bins import ScoreBins, sparse_counts

UPPERS = (1.0, 0.0, -2.5, 100.0)
scores = arrays.arrays(
    np.float32,
    st.integers(1, 50),
    elements=st.one_of(
        st.floats(width=32, allow_nan=False),
        st.floats(0, 1, width=32),
        st.floats(float(np.float32(1 - 1e-4)), 1, width=32),
    ),
)


@given(scores, st.sampled_from(UPPERS))
def test_a_higher_score_never_has_a_higher_bin(values, upper):
    bins = ScoreBins(upper)(values)
    order = np.argsort(-values.astype(np.float64), kind='stable')
    assert (np.diff(bins[order]) >= 0).all()
    assert bins.min() >= 0 and bins.max() < ScoreBins(upper).number


@given(scores, st.sampled_from(UPPERS))
def test_bins_that_count_as_one_score_hold_one(values, upper):
    bins = ScoreBins(upper)
    with np.errstate(over='ignore'):  # beyond the largest float lies infinity
        around = np.concatenate([values, *(np.nextafter(values, np.float32(end)) for end in (-math.inf, math.inf))])
    around = around[~np.isnan(around)] + np.float32(0)
    found = bins(around)
    for one in np.unique(found[bins.single[found]]):
        assert len(np.unique(around[found == one])) == 1


@given(st.floats(2.0**-10, 4, width=32), st.sampled_from((1.0, 0.0)))
def test_width_is_a_share_of_the_distance(distance, upper):
    bins = ScoreBins(upper)
    score = np.float32(upper) - np.float32(distance)
    further = np.float32(upper - (upper - float(score)) * (1 + 1.05 / 128))
    assert bins(np.array([score])) < bins(np.array([further]))


def test_probabilities_near_one_are_kept_apart():
    bins = ScoreBins(1.0)
    near_one = (1 - np.arange(2**8) * 2.0**-24).astype(np.float32)
    assert len(np.unique(bins(near_one))) == 2**8
    assert bins.single[bins(near_one)].all()
    every = (np.arange(1, 2**24 + 1) * 2.0**-24).astype(np.float32)
    used, times = np.unique(bins(every), return_counts=True)
    assert len(used) == 2304
    assert (bins.single[used] == (times == 1)).all()
    assert (1 - every[bins.single[bins(every)]]).max() < 2.0**-16


def test_ends_of_the_scale():
    found = ScoreBins(1.0)(np.array([math.inf, 1.0001, 1.0, 0.9999999, 0.0, -3.0, -3e38, -math.inf], np.float32))
    assert (np.diff(found) > 0).all()
    zeros = ScoreBins(0.0)(np.array([0.0, -0.0], np.float32))
    assert zeros[0] == zeros[1]


def test_other_number_types_are_rounded_to_float32():
    values = np.array([0.25, 0.5, 0.999], np.float16)
    for kind in (np.float32, np.float64):
        assert (ScoreBins()(values) == ScoreBins()(values.astype(kind))).all()
    assert (ScoreBins()(np.array([1 - 1e-12])) == ScoreBins()(np.array([1.0]))).all()


def test_nan_is_named():
    with pytest.raises(ValueError, match='2 of 3 scores are NaN .* give units without a finite score -inf'):
        ScoreBins()(np.array([math.nan, 0.5, math.nan], np.float32))


@pytest.mark.parametrize('upper', [math.inf, math.nan, 0.1, 1e300])
def test_bad_upper_is_named(upper):
    with pytest.raises(ValueError, match='upper must be a finite number that float32 can hold'):
        ScoreBins(upper)


def test_sparse_counts():
    bins = np.array([5, 2, 5, 5, 65535, 2])
    wrong = np.array([True, False, True, False, True, False])
    used, right, errors = sparse_counts(bins, wrong, 65536)
    assert used.tolist() == [2, 5, 65535]
    assert right.tolist() == [2, 1, 0]
    assert errors.tolist() == [0, 2, 1]
    assert (used.dtype, right.dtype, errors.dtype) == (np.uint16, np.uint32, np.uint32)
    assert [len(part) for part in sparse_counts(bins[:0], wrong[:0], 65536)] == [0, 0, 0]
