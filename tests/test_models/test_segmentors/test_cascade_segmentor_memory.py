# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""CascadeSegmentor: what cells and maps are held in memory, and until when."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mmcascade.models.cells.grid import Grid
from mmcascade.models.cells.tiled_image import TiledImage
from mmcascade.routing import UnitBatch
from tests.support.members.tiny_segmentors import CLASSES, batch, image
from tests.test_models.segmentor_cascades import cascade, run, some_batches, window


class Largest(TorchDispatchMode):
    """Notes the number of elements of the largest tensor that is made."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for x in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(x, torch.Tensor):
                self.elements = max(self.elements, x.untyped_storage().nbytes() // x.element_size())
        return result


@pytest.mark.parametrize('kind', ['fcn', 'many', 'slide'])
def test_no_map_of_an_image_is_made_for_a_cell(kind):
    """A stage on cells works in the memory of its crops, and slides share one map of the image."""
    model, size = cascade(kind, kind, cell=32), (128, 160)
    run(model, batch(1, *size))
    tile = TiledImage(image(*size), Grid(size, (32, 32)))
    some = UnitBatch.submitted(tile, np.arange(20), 0).select(np.arange(3, 6))
    classes = model.stages[1].network.module.num_classes
    with torch.no_grad(), Largest() as largest:
        output = model.stages[1](some)
    assert output.values.shape == (3, classes, 32, 32)
    assert largest.elements <= max(3 * max(classes, 32) * 40 * 40, tile.pixels.numel())
    whole = UnitBatch.submitted(tile, np.arange(20), 0)
    with torch.no_grad(), Largest() as largest:
        model.stages[0](whole)
    assert largest.elements <= max(classes, 16) * 128 * 160  # the stem of the network has as many


def test_what_a_batch_leaves_behind_does_not_keep_all_of_it():
    model = cascade('fcn', 'wide', cell=32)
    model.stages[1].batch_size = 5
    with model.router.stream() as stream:
        stream.enqueue(*model.unpack(batch(1, 64, 96)).parts[0])
        stream.run()
        (left,) = [state.state for queue in stream._queues for state in queue]
        assert len(left.total) == stream.waiting == 1
        assert left.total.untyped_storage().nbytes() == left.total.nbytes
        stream.flush()


def test_waiting_cells_hold_their_own_probabilities_and_finished_ones_none():
    model = cascade('fcn', 'wide', window((None, 0.7)), cell=32)
    model.stages[1].batch_size = 1000
    alive = []
    keep = model.router.results

    def watch(state, output, rows):
        alive.extend(weakref.ref(x) for x in (state.total, state.fused.probs, output.values))
        return keep(state, output, rows)

    model.router.results = watch
    with model.router.stream() as stream:
        for data in some_batches():
            for source, numbers in model.unpack(data).parts:
                stream.enqueue(source, numbers)
            del source, data
            finished = stream.run()
            for outcome in finished:
                assert set(outcome.results) == {'labels'} and outcome.results['labels'].dtype == torch.uint8
        assert alive and not any(ref() is not None for ref in alive)
        cell = 32 * 32
        images = 11 * 3 * 70 * 101
        assert 0 < stream.waiting < 66
        assert stream.waiting_bytes <= stream.waiting * (cell * (4 * CLASSES + 1) + 8) + images
        assert all(
            batch.state.total.untyped_storage().nbytes() == len(batch) * cell * 4 * CLASSES
            for queue in stream._queues
            for batch in queue
        )
        stream.flush()
    assert not any(ref() is not None for ref in alive)
