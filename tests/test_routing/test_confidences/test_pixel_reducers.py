# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Reducers of pixels against numpy on the pixels that count."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcascade.routing.confidences.pixel_reducers import (
    REDUCERS,
    FractionBelowReducer,
    MeanReducer,
    PixelReducer,
    QuantileReducer,
    build_reducer,
)

CASES = [
    (MeanReducer(), lambda x: x.mean()),
    *[(QuantileReducer(q), lambda x, q=q: np.quantile(x, q)) for q in (0, 0.05, 0.1, 0.5, 0.77, 1)],
    *[(FractionBelowReducer(b), lambda x, b=b: 1 - (x < b).mean()) for b in (-1.0, 0.3, 0.5, 2.0)],
]


def pixels(seed, cells=5, height=6, width=7, scale=1.0):
    generator = np.random.default_rng(seed)
    # Multiples of 1/8: ties, and values that lie on a bound.
    confidence = np.round(generator.random((cells, height, width)) * 8) / 8 * scale
    counts = generator.random((cells, height, width)) < generator.random((cells, 1, 1))
    return confidence, counts


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), scale=st.sampled_from([1.0, -3.0, 1e30]))
def test_equal_numpy(seed, scale):
    confidence, counts = pixels(seed, scale=scale)
    for reducer, reference in CASES:
        found = reducer(torch.from_numpy(confidence).float(), torch.from_numpy(counts))
        assert found.shape == (5,) and found.dtype == torch.float32
        for value, row, counted in zip(found.tolist(), confidence, counts, strict=True):
            kept = row.astype(np.float32).astype(np.float64)[counted]
            expected = reference(kept) if len(kept) else np.nan
            assert value == pytest.approx(float(expected), rel=1e-6, abs=1e-12 * abs(scale), nan_ok=True), reducer.name


@pytest.mark.parametrize('reducer', [reducer for reducer, _ in CASES], ids=lambda r: r.name)
def test_only_pixels_that_count_matter(reducer):
    confidence, counts = pixels(1)
    counts[0] = False
    counts[1, 2, 3] = True
    worse = np.where(counts, confidence, np.nan)
    found = reducer(torch.from_numpy(worse), torch.from_numpy(counts))
    expected = reducer(torch.from_numpy(confidence), torch.from_numpy(counts))
    assert torch.equal(found.nan_to_num(7), expected.nan_to_num(7))
    assert found[0].isnan() and found[1:].isfinite().all()


def test_quantile_of_many_pixels():
    """Places in a row of more pixels than float32 tells tenths of apart."""
    ramp = torch.arange(2**20 + 2, dtype=torch.float64)[None]
    place = 0.1 * (2**20 + 1)
    assert QuantileReducer(0.1).reduce(ramp, ramp >= 0).item() == pytest.approx(place, abs=1e-6)


def test_order_of_pixels_does_not_matter():
    generator = torch.Generator().manual_seed(0)
    confidence = torch.rand(1, 512, 512, generator=generator)
    counts = torch.rand(1, 512, 512, generator=generator) < 0.7
    order = torch.randperm(512 * 512, generator=generator)
    for reducer, _ in CASES:
        mixed = [x.flatten(1)[:, order].view_as(x) for x in (confidence, counts)]
        assert torch.equal(reducer(*mixed), reducer(confidence, counts)), reducer.name


def test_build_by_name():
    for name, kind in REDUCERS.items():
        assert type(build_reducer(name)) is kind
    reducer = QuantileReducer(0.2)
    assert build_reducer(reducer) is reducer
    assert len({reducer.name for reducer, _ in CASES}) == len(CASES)
    with pytest.raises(TypeError, match='name.*reduce'):
        PixelReducer()


@pytest.mark.parametrize(
    'build, message',
    [
        (lambda: build_reducer('median'), "unknown reducer 'median'.*fraction_below.*QuantileReducer"),
        (lambda: QuantileReducer(1.5), r'q is a fraction in \[0, 1\], got 1.5'),
        (lambda: QuantileReducer(float('nan')), 'q is a fraction'),
        (lambda: QuantileReducer(True), 'q is a fraction'),
        (lambda: FractionBelowReducer(float('nan')), 'got nan; it lies on the scale of the confidence of a pixel$'),
        (lambda: FractionBelowReducer('0.9'), 'bound is a number'),
    ],
)
def test_bad_input(build, message):
    with pytest.raises(ValueError, match=message):
        build()
