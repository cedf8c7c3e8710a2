# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mmcascade.evaluation.curves.intervals.bootstrap import bootstrap


def test_against_scipy():
    x = np.random.default_rng(0).normal(2.0, 1.0, 400)
    ours = bootstrap(lambda index: x[index].mean(), len(x), repeats=4000)
    theirs = stats.bootstrap((x,), np.mean, n_resamples=4000, method='percentile', rng=1).confidence_interval
    assert ours.estimate == x.mean()
    assert ours.low == pytest.approx(theirs.low, abs=0.01)
    assert ours.high == pytest.approx(theirs.high, abs=0.01)


def test_pairs_cancel_what_they_share():
    generator = np.random.default_rng(1)
    common = generator.normal(size=500)
    better = common + 0.1
    interval = bootstrap(lambda index: better[index].mean() - common[index].mean(), 500, repeats=200)
    assert interval.low == pytest.approx(0.1)
    assert interval.high == pytest.approx(0.1)


def test_seed_decides_and_nan_draws_are_left_out():
    x = np.arange(5.0)
    assert bootstrap(lambda i: x[i].mean(), 5, seed=3) == bootstrap(lambda i: x[i].mean(), 5, seed=3)
    interval = bootstrap(lambda i: np.nan if 0 in i[1:] else 1.0, 5, repeats=50)
    assert (interval.low, interval.high) == (1, 1)
    with pytest.raises(ValueError, match='NaN for every draw'):
        bootstrap(lambda i: np.nan, 5)


@pytest.mark.parametrize('options', [dict(n=0), dict(n=5, repeats=0), dict(n=5, level=1.0)])
def test_bad_arguments(options):
    with pytest.raises(ValueError, match='a bootstrap needs'):
        bootstrap(lambda i: 0.0, **options)


def test_one_draw_is_enough():
    interval = bootstrap(lambda i: i.mean(), 5, repeats=1)
    assert interval.low == interval.high
