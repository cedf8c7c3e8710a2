# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcascade.evaluation.curves.ranking.score_keys import FloatKeys, TableKeys, score_keys

SCORES = st.lists(st.floats(allow_nan=False), min_size=1, max_size=30)
NARROW = st.lists(st.one_of(st.floats(-100, 100), st.just(-np.inf), st.just(-0.0)), min_size=1, max_size=30)


SINGLE = st.lists(st.one_of(st.floats(allow_nan=False, width=32), st.floats(0, 1, width=32)), min_size=1, max_size=30)


@given(st.one_of(SCORES, NARROW, SINGLE), st.sampled_from([1, 2]))
def test_keys_are_exact_and_fall_with_the_score(values, spare_bits):
    scores = np.array(values)
    codec = score_keys(scores, spare_bits)
    keys = np.empty(scores.size, f'u{codec.bits // 8}')
    codec.encode(scores, out=keys)
    assert codec.decode(keys).tolist() == scores.tolist()
    assert int(keys.max()) < 1 << (codec.bits - spare_bits)
    keys = keys.astype(np.uint64)
    by_key = np.argsort(keys, kind='stable')
    equal = scores[by_key][1:] == scores[by_key][:-1]
    assert (np.diff(keys[by_key]) == 0).tolist() == equal.tolist()
    assert (scores[by_key][1:] <= scores[by_key][:-1]).all()


@pytest.mark.parametrize(
    ('scores', 'kind'),
    [
        (np.linspace(0, 1, 9), FloatKeys),
        (-np.linspace(0, 1, 9), FloatKeys),
        (np.r_[-np.inf, np.linspace(0, 1, 9)], FloatKeys),
        (np.linspace(-1e4, 1e5, 9), FloatKeys),  # scaled down
        (np.r_[-np.inf, np.linspace(-1e4, 1e5, 9)], FloatKeys),
        (np.array([-1.0, 5e-324, 1e300]), TableKeys),
        (np.array([-1.0, 1e-200, 1.0]), TableKeys),
    ],
)
def test_ordinary_scores_need_no_table(scores, kind):
    assert type(score_keys(scores, spare_bits=2)) is kind


@pytest.mark.parametrize(
    ('scores', 'spare_bits', 'bits'),
    [
        (np.linspace(0, 1, 9), 2, 32),
        (np.r_[-np.inf, np.linspace(0, 1, 9)], 2, 32),
        (-np.float64(np.float32([0.1, 0.2])), 1, 32),
        (np.array([0.1, 0.2]), 1, 64),  # no float32 values
        (np.array([0.0, 1e300]), 1, 64),
        (np.array([0.0, 2.0**100]), 2, 64),
    ],
)  # no room for two flags beside 31 bits
def test_scores_of_a_network_take_half_the_room(scores, spare_bits, bits):
    assert score_keys(scores, spare_bits).bits == bits
