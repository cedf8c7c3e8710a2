# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcascade.evaluation.score_keys import FloatKeys, TableKeys, score_keys

SCORES = st.lists(st.floats(allow_nan=False), min_size=1, max_size=30)
NARROW = st.lists(
    st.one_of(st.floats(-100, 100), st.just(-np.inf), st.just(-0.0)), min_size=1, max_size=30)


@given(st.one_of(SCORES, NARROW), st.sampled_from([1, 2]))
def test_keys_are_exact_and_fall_with_the_score(values, spare_bits):
    scores = np.array(values)
    codec = score_keys(scores, spare_bits)
    keys = np.empty(scores.size, np.uint64)
    codec.encode(scores, out=keys)
    assert codec.decode(keys).tolist() == scores.tolist()
    assert int(keys.max()) < 1 << (64 - spare_bits)
    by_key = np.argsort(keys, kind='stable')
    equal = scores[by_key][1:] == scores[by_key][:-1]
    assert (np.diff(keys[by_key]) == 0).tolist() == equal.tolist()
    assert (scores[by_key][1:] <= scores[by_key][:-1]).all()


@pytest.mark.parametrize(('scores', 'kind'), [
    (np.linspace(0, 1, 9), FloatKeys),
    (-np.linspace(0, 1, 9), FloatKeys),
    (np.r_[-np.inf, np.linspace(0, 1, 9)], FloatKeys),
    (np.linspace(-1e4, 1e5, 9), FloatKeys),  # scaled down
    (np.r_[-np.inf, np.linspace(-1e4, 1e5, 9)], FloatKeys),
    (np.array([-1.0, 5e-324, 1e300]), TableKeys),
    (np.array([-1.0, 1e-200, 1.0]), TableKeys)])
def test_ordinary_scores_need_no_table(scores, kind):
    assert type(score_keys(scores, spare_bits=2)) is kind
