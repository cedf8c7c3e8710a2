# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What every registered reducer of pixels has to do. A new one adds an entry to VARIANTS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmcascade.registry import TASK_UTILS
from mmcascade.routing import REDUCERS, PixelReducer
from mmcascade.routing.confidences.pixel_reducers import build_reducer

Reference = Callable[[list[float]], float]


@dataclass(frozen=True)
class Variant:
    """Reducers of one kind, each with the slow rule for the pixels of a cell that count, at least one."""

    reducers: tuple[tuple[PixelReducer, Reference], ...]
    stays_between: bool = True  # the least and the most certain pixel; else in [0, 1]


def mean(pixels: list[float]) -> float:
    return sum(pixels) / len(pixels)


def quantile(q: float) -> Reference:
    return lambda pixels: float(np.quantile(pixels, q))


def not_below(bound: float) -> Reference:
    return lambda pixels: sum(pixel >= bound for pixel in pixels) / len(pixels)


VARIANTS = {
    'mean': Variant(((REDUCERS['mean'](), mean),)),
    'quantile': Variant(tuple((REDUCERS['quantile'](q=q), quantile(q)) for q in (0.0, 0.1, 0.5, 0.77, 1.0))),
    'fraction_below': Variant(
        tuple((REDUCERS['fraction_below'](bound=bound), not_below(bound)) for bound in (-1.0, 0.25, 0.5)),
        stays_between=False,
    ),
}
CASES = [pytest.param(kind, *case, id=case[0].name) for kind, v in VARIANTS.items() for case in v.reducers]
PIXEL = st.sampled_from([-1.0, 0.0, 0.125, 0.25, 0.5, 0.75, 1.0])  # multiples of 1/8: ties, and values on a bound


@st.composite
def cells(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor]:
    count, height, width = (draw(st.integers(1, 3)) for _ in range(3))
    size = count * height * width
    confidence = draw(st.lists(PIXEL, min_size=size, max_size=size))
    counts = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    shape = count, height, width
    return torch.tensor(confidence).view(shape), torch.tensor(counts).view(shape)


def test_every_registered_reducer_is_here():
    assert VARIANTS.keys() == REDUCERS.keys()
    for kind, variant in VARIANTS.items():
        assert {type(reducer) for reducer, _ in variant.reducers} == {REDUCERS[kind]}


def test_equal_names_mean_equal_scores():
    names = [case.values[1].name for case in CASES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize('kind, reducer, reference', CASES)
class TestReducer:
    @given(cells=cells())
    def test_is_what_the_slow_rule_gives(self, kind, reducer, reference, cells):
        confidence, counts = cells
        found = reducer(confidence, counts)
        assert found.dtype == torch.float32 and found.shape == confidence.shape[:1]
        for value, pixels, counted in zip(found.tolist(), confidence, counts, strict=True):
            kept = pixels[counted].tolist()
            assert value == pytest.approx(reference(kept) if kept else np.nan, rel=1e-6, abs=1e-7, nan_ok=True)

    @given(cells=cells())
    def test_stays_within_its_range(self, kind, reducer, reference, cells):
        confidence, counts = cells
        for value, pixels, counted in zip(reducer(confidence, counts).tolist(), confidence, counts, strict=True):
            if counted.any():
                kept = pixels[counted]
                low, high = (kept.min(), kept.max()) if VARIANTS[kind].stays_between else (0, 1)
                assert low <= value <= high

    @given(cells=cells(), data=st.data())
    def test_no_pixel_that_gains_makes_a_cell_less_certain(self, kind, reducer, reference, cells, data):
        confidence, counts = cells
        gains = data.draw(
            st.lists(st.sampled_from([0.0, 0.125, 2.0]), min_size=counts.numel(), max_size=counts.numel())
        )
        more = confidence + torch.tensor(gains).view_as(confidence)
        before, after = reducer(confidence, counts), reducer(more, counts)
        assert (after >= before)[counts.flatten(1).any(1)].all()

    @given(cells=cells(), data=st.data())
    def test_only_the_set_of_pixels_that_count_matters(self, kind, reducer, reference, cells, data):
        confidence, counts = cells
        noisy = torch.where(counts, confidence, torch.nan)
        order = data.draw(st.permutations(range(confidence[0].numel())))
        mixed = [x.flatten(1)[:, order].view_as(x) for x in (noisy, counts)]
        assert torch.equal(reducer(*mixed).nan_to_num(7), reducer(confidence, counts).nan_to_num(7))

    @given(cells=cells())
    def test_a_cell_does_not_see_its_neighbours(self, kind, reducer, reference, cells):
        confidence, counts = cells
        alone = torch.cat([reducer(confidence[k : k + 1], counts[k : k + 1]) for k in range(len(counts))])
        assert torch.equal(alone.nan_to_num(7), reducer(confidence, counts).nan_to_num(7))

    def test_half_precision_is_widened(self, kind, reducer, reference):
        confidence = torch.tensor([[0.25, 0.5, 0.75, 0.5]])
        counts = torch.ones_like(confidence, dtype=torch.bool)
        found = reducer(confidence.bfloat16(), counts)
        assert found.dtype == torch.float32
        assert found.item() == pytest.approx(reference(confidence[0].tolist()), rel=1e-6)

    def test_is_found_by_name(self, kind, reducer, reference):
        assert type(build_reducer(kind)) is REDUCERS[kind]
        assert build_reducer(reducer) is reducer
        assert TASK_UTILS.get(f'mmcascade.{type(reducer).__name__}') is type(reducer)
