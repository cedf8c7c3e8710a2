# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The map of a head against torch's interpolation of all of it."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from mmcascade.models.cells.pixels.head_map import HeadMap

SIDES = st.tuples(st.integers(1, 12), st.integers(1, 12))


@settings(max_examples=80)
@given(
    small=SIDES,
    factor=st.sampled_from([1, 2, 4, 7.3]),
    padding=st.tuples(*[st.integers(0, 3)] * 4),
    align=st.booleans(),
    data=st.data(),
)
def test_places_of_a_head_map_are_those_of_the_enlarged_one(small, factor, padding, align, data):
    left, right, top, bottom = padding
    size = tuple(max(1, round(side * factor)) for side in small)
    inputs = size[0] + top + bottom, size[1] + left + right
    values = torch.randn(5, *small, generator=torch.Generator().manual_seed(0))
    head = HeadMap(values, inputs, padding, align)
    assert head.size == size
    whole = functional.interpolate(values[None], inputs, mode='bilinear', align_corners=align)[0]
    whole = whole[:, top : top + size[0], left : left + size[1]]
    for classes in (slice(0, 5), slice(1, 2)):
        assert torch.equal(head.enlarged(classes), whole[classes])

    def places(side):
        return np.array(data.draw(st.lists(st.floats(-2, side + 1), min_size=1, max_size=4)))

    down, across = (places(side) for side in size)
    found = head.at(down, across)
    for i, y in enumerate(np.clip(down, 0, size[0] - 1)):
        for j, x in enumerate(np.clip(across, 0, size[1] - 1)):
            (y0, v), (x0, u) = (int(y), y - int(y)), (int(x), x - int(x))
            y1, x1 = min(y0 + 1, size[0] - 1), min(x0 + 1, size[1] - 1)
            upper = whole[:, y0, x0] * (1 - u) + whole[:, y0, x1] * u
            lower = whole[:, y1, x0] * (1 - u) + whole[:, y1, x1] * u
            torch.testing.assert_close(
                found[:, i, j].double(), upper * (1 - v) + lower * v, rtol=1e-4, atol=1e-4, check_dtype=False
            )
