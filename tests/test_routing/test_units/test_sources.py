# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Inputs that were handed in, and what stays of them while their units wait."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmcascade.models.cells.grid import Grid
from mmcascade.models.cells.tiled_image import TiledImage
from mmcascade.routing import CachedStage, CascadeRouter, WindowPolicy
from mmcascade.routing.units.sources import Source, ViewRows


def test_view_rows_give_rows():
    views = [torch.arange(12.0).view(4, 3), None]
    source = ViewRows(views)
    assert (len(source), source.count, source.group) == (4, 2, ((3,),))
    assert source.take(0, np.arange(4)) is views[0], 'all rows need no copy'
    assert torch.equal(source.take(0, np.array([0, 2])), views[0][[0, 2]])
    assert source.unit_bytes([0]) == 12
    assert source.unit_bytes([1]) == source.unit_bytes([]) == 0
    assert [x is views[0] for x in source.tensors()] == [True]


def test_view_rows_keep_only_what_is_needed():
    views = [torch.arange(4.0), torch.arange(4.0) + 10, torch.arange(4.0) + 20]
    kept, rows = ViewRows(views).keep(np.array([1, 3]), {1})
    assert kept.count == 2 and kept.views[0] is None
    assert rows.tolist() == [0, 1]
    views[1].fill_(-1)
    assert kept.views[1].tolist() == [11, 13]
    assert kept.views[1].untyped_storage().nbytes() == 8


def test_waiting_rows_stay_in_their_group():
    """Views that nobody reads any more are dropped, and rows of another shape still cannot be stacked with these."""
    source = ViewRows([torch.zeros(4, 3, 8, 8), torch.zeros(4, 3, 16, 16)])
    kept, _ = source.keep(np.array([0, 2]), {1})
    assert kept.group == source.group != ViewRows([torch.zeros(4, 3, 8, 8), torch.zeros(4, 3, 9, 16)]).group


def test_neighbouring_rows_are_not_copied_until_they_wait():
    view = torch.arange(12.0).view(6, 2)
    source = ViewRows([view])
    some = source.take(0, np.array([2, 3, 4]))
    assert torch.equal(some, view[2:5]) and some.data_ptr() == view[2].data_ptr()
    kept, rows = source.keep(np.array([2, 3, 4]), {0})
    view.fill_(-1)
    assert kept.take(0, rows).tolist() == [[4, 5], [6, 7], [8, 9]]


def test_lengths_are_checked():
    with pytest.raises(ValueError, match=r'same number of units, got 2 and \[3, 4\]'):
        ViewRows([torch.zeros(3), torch.zeros(4)]).check_length(2)
    ViewRows([]).check_length(7)  # a replay reads no views
    image = TiledImage(torch.zeros(3, 8, 8), Grid((8, 8), (4, 4)))
    with pytest.raises(ValueError, match='a source of 4 units was handed in with the numbers of 3'):
        image.check_length(3)
    router = CascadeRouter([CachedStage(torch.zeros(4, 2))], WindowPolicy([]))
    with pytest.raises(ValueError, match='4 units was handed in with the numbers of 2'), router.stream() as stream:
        stream.enqueue(image, [0, 1])


def test_base_class_leaves_everything_open():
    with pytest.raises(TypeError, match='__len__.*keep.*tensors.*unit_bytes'):
        Source()


def test_images_of_one_kind_form_a_group():
    def tiled(height=8, ori=(8, 8), cell=(4, 4), flip=None):
        return TiledImage(torch.zeros(3, height, 8), Grid(ori, cell), flip).group

    assert tiled() == tiled()
    assert len({tiled(), tiled(9), tiled(ori=(8, 9)), tiled(cell=(2, 4)), tiled(flip='horizontal')}) == 5


def test_a_waiting_image_does_not_pin_its_batch():
    """Images of a stacked batch share its memory, and a loader may write the next batch into it."""
    batch = torch.arange(4 * 3 * 8 * 8).view(4, 3, 8, 8).to(torch.uint8)
    image = TiledImage(batch[2], Grid((8, 8), (4, 4)))
    expected = batch[2].clone()
    kept, rows = image.keep(np.array([1, 3]), {0})
    again, _ = image.keep(np.array([2]), {0})
    assert kept is again, 'cells of one image stay cells of one image'
    assert rows.tolist() == [1, 3]
    batch.zero_()
    assert torch.equal(kept.pixels, expected)
    assert kept.pixels.untyped_storage().nbytes() == 3 * 8 * 8
    alone = torch.zeros(3, 8, 8)
    assert TiledImage(alone, Grid((8, 8))).keep(np.arange(1), {0})[0].pixels is alone
    assert image.unit_bytes([0]) == 48
    assert len(image) == 4
