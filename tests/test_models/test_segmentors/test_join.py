# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Stages that run on rectangles of neighbouring cells, against a loop over all partitions of each image."""

from __future__ import annotations

import functools

import pytest
import torch

from mmcascade.models.export.graphs.segmentor_graphs import segmentor_graph
from mmcascade.models.runtimes.graphs.export import ExportError
from mmcascade.registry import MODELS
from tests.support.members.tiny_segmentors import batch
from tests.support.references.loop_choosing import choosing_loop
from tests.test_models.segmentor_cascades import (
    assert_same_labels,
    cascade,
    member_of,
    run,
    window,
)
from tests.test_models.test_segmentors.test_cascade_segmentor_batches import (
    assert_batches_change_nothing,
    one_by_one,
)

JOIN = (dict(member='a'), dict(member='b', join='rectangles'))
BOTH = (dict(member='a'), dict(member='b', join='rectangles', fallback='image'))


def assert_is_the_loop(found, expected):
    probs, exits, macs, _ = expected
    assert found.cells.exit_stages.tolist() == exits
    assert found.cells.macs.tolist() == pytest.approx(macs)
    assert found.macs == pytest.approx(sum(macs))
    assert_same_labels(found.pred_sem_seg.data[0], probs)


@pytest.mark.parametrize('stages', [JOIN, BOTH])
@pytest.mark.parametrize(
    'kind, margin, fusion', [('wide', 4, 'prob'), ('slide', 16, 'replace'), ('pooled', 8, 'logit')]
)
def test_it_is_the_loop_over_rectangles(kind, margin, fusion, stages):
    members, fallbacks = [member_of('fcn'), member_of(kind, 1)], [1] if stages is BOTH else []
    spans, on_image = set(), 0
    for size, threshold in [((64, 96), 0.7), ((70, 101), 0.72), ((64, 96), 1.0)]:
        rules = [(None, threshold)]
        model = cascade(*members, window(*rules), margin=margin, stages=stages, fusion=fusion)
        for pixels, found in zip(batch(2, *size)['inputs'], run(model, batch(2, *size)), strict=True):
            expected = choosing_loop(members, pixels, 32, rules, margin, fusion, [1], fallbacks)
            assert_is_the_loop(found, expected)
            way = expected[-1][1]
            on_image += way is None
            spans |= {(bottom - top, right - left) for top, left, bottom, right in way or ()}
    assert bool(on_image) == (stages is BOTH)
    assert spans - {(1, 1)} or kind == 'slide', 'some cells are joined'


@pytest.mark.parametrize('thresholds', [(0.75, 0.65), (1.0, 0.6)])
def test_three_stages(thresholds):
    members = [member_of(kind, seed) for seed, kind in enumerate(['fcn', 'wide', 'pooled'])]
    rules = [(None, threshold) for threshold in thresholds]
    model = MODELS.build(
        dict(
            type='mmcascade.CascadeSegmentor',
            members=dict(zip('abc', members, strict=True)),
            stages=[
                dict(member='a'),
                dict(member='b', join='rectangles'),
                dict(member='c', join='rectangles', fallback='image'),
            ],
            grid=dict(cell=32, margin=4),
            policy=window(*rules),
        )
    )
    reached = set()
    for pixels, found in zip(batch(3)['inputs'], run(model, batch(3)), strict=True):
        expected = choosing_loop(members, pixels, 32, rules, 4, 'prob', [1, 2], [2])
        assert_is_the_loop(found, expected)
        reached |= set(expected[1])
    assert len(reached) > 1


def test_cells_without_neighbours_are_as_alone():
    plain, joined = (
        cascade('fcn', 'wide', window((None, 0.0)), margin=4, stages=stages)
        for stages in ((dict(member='a'), dict(member='b')), JOIN)
    )
    for model in (plain, joined):
        model.router.policy.go_on = lambda gap, confidence, unit: torch.tensor(
            [int(u) % 65536 in (0, 2, 4) for u in unit]
        )
    one, other = run(plain, batch(2)), run(joined, batch(2))
    assert {x for s in other for x in s.cells.exit_stages.tolist()} == {0, 1}
    for alone, found in zip(one, other, strict=True):
        assert torch.equal(alone.pred_sem_seg.data, found.pred_sem_seg.data)
        assert torch.equal(alone.cells.macs, found.cells.macs)
        assert torch.equal(alone.cells.confidence, found.cells.confidence)


@functools.cache
def joining():
    """A cascade in which some cells are joined, and what it gives one image at a time."""
    model = cascade('fcn', 'wide', window((None, 0.72)), margin=4, stages=BOTH)
    return model, one_by_one(model)


@pytest.mark.parametrize('sizes', [(None, None), (2, 5), (1, 1), (None, 100)])
def test_batches_change_nothing(tmp_path, sizes):
    model, expected = joining()
    assert_batches_change_nothing(model, expected, sizes, tmp_path)


@pytest.mark.parametrize('size, most', [(None, 2), (2, 2), (8, 8)])
def test_a_batch_has_crops_of_one_shape(monkeypatch, size, most):
    """Of two images of six cells, a pair and a single cell go on; pairs cost less than two cells, and more than one."""
    model = cascade('fcn', 'wide', window((None, 0.0)), margin=4, stages=JOIN)
    stage, seen = model.stages[1], []
    stage.batch_size = size
    forward = stage.forward
    monkeypatch.setattr(stage, 'forward', lambda rows: seen.append(tuple(rows.shape)) or forward(rows))
    model.router.policy.go_on = lambda gap, confidence, unit: torch.tensor([int(u) % 65536 in (0, 1, 5) for u in unit])
    run(model, batch(2))
    by_shape = {}
    for n, _, height, width in seen:
        by_shape.setdefault((height, width), []).append(n)
    assert {shape: sum(counts) for shape, counts in by_shape.items()} == {(40, 72): 2, (40, 40): 2}
    assert max(by_shape[40, 40]) <= most and max(by_shape[40, 72]) <= max(1, most // 2)


@pytest.mark.parametrize(
    'stage, grid, message',
    [
        (dict(join='cells'), {}, "join of stage 1 is 'rectangles', or None, got 'cells'"),
        (dict(join='rectangles', macs=1e6), {}, "and join='rectangles' compares the cost of crops"),
        (dict(join='rectangles', on='image'), {}, 'stage 1 runs on whole images'),
        (dict(join='rectangles'), dict(cell=None), 'stage 1 runs on whole images'),
    ],
)
def test_what_makes_no_sense_is_refused(stage, grid, message):
    with pytest.raises(ValueError, match=message):
        cascade('fcn', 'wide', stages=[dict(member='a'), dict(member='b', **stage)], **grid)


def test_a_member_of_one_size_is_refused():
    with pytest.raises(ValueError, match='or leave join= out'):
        cascade('fcn', 'fixed', cell=(64, 96), stages=JOIN)


def test_it_says_what_it_is():
    stage = cascade('fcn', 'wide', margin=4, stages=BOTH).stages[1]
    assert stage.describe() == 'rectangle or image'
    assert stage.source == 'b on cells with a margin of 4 in rectangles or images'
    assert stage.identity().to_json()['join'] == 'rectangles'
    assert 'join' not in stage.plain('cell').identity().to_json()
    assert stage.alone().source == 'b on images'


def test_a_bundle_of_it_is_refused():
    stage = cascade('fcn', 'wide', stages=JOIN).stages[1]
    with pytest.raises(ExportError, match="stage of member 'b' has join='rectangles'"):
        segmentor_graph(stage, (32, 32), 3, 'b.onnx')
