# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmcascade.models.runtimes.graphs.fixed_rows import FixedRows, in_chunks, padded, pieces

COUNTS = st.integers(1, 40)


class Opener:
    """Opens sessions that double rows, and fail on any number of them but their own."""

    def __init__(self):
        self.opened = []

    def __call__(self, size):
        self.opened.append(size)

        def run(rows):
            assert len(rows) == size
            return 2 * rows

        return run


@given(COUNTS, COUNTS)
def test_pieces_hold_all_rows_and_never_more_than_a_full_batch_too_many(n, full):
    sizes = pieces(n, full)
    assert n <= sum(sizes) < n + full
    assert set(sizes) <= {1, full}
    assert len(sizes) <= n


@given(COUNTS, st.none() | COUNTS)
def test_any_number_of_rows_comes_back_in_order(n, full):
    opener = Opener()
    session = FixedRows(opener)
    rows = np.arange(3 * n).reshape(n, 3)
    for _ in range(2):
        np.testing.assert_array_equal(session(rows, full), 2 * rows)
    assert len(opener.opened) == len(set(opener.opened)) <= 2


@given(COUNTS, COUNTS)
def test_chunks_pad_the_last_one(n, size):
    rows = np.arange(n)
    np.testing.assert_array_equal(in_chunks(Opener()(size), rows, size), 2 * rows)


def test_padding_repeats_the_last_row():
    np.testing.assert_array_equal(padded(np.array([[1], [2]]), 4), [[1], [2], [2], [2]])
