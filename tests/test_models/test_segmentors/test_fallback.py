# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Stages that run on the whole image where their crops would cost as much, against a loop over images."""

from __future__ import annotations

import functools

import pytest
import torch

from mmcascade.models.export.graphs.segmentor_graphs import segmentor_graph
from mmcascade.models.runtimes.graphs.export import ExportError
from mmcascade.registry import MODELS
from tests.support.members.tiny_segmentors import batch, image
from tests.support.references.loop_choosing import choosing_loop
from tests.support.references.loop_segmentor import scores_of
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

FALLBACK = (dict(member='a'), dict(member='b', fallback='image'))


@pytest.mark.parametrize(
    'kind, margin, fusion', [('wide', 4, 'prob'), ('slide', 16, 'replace'), ('pooled', 8, 'logit')]
)
def test_it_is_the_loop_over_images(kind, margin, fusion):
    members = [member_of('fcn'), member_of(kind, 1)]
    ways = set()
    for size, threshold in [((64, 96), 0.66), ((64, 96), 0.7), ((70, 101), 0.72), ((96, 96), 0.76), ((64, 96), 1.0)]:
        rules = [(None, threshold)]
        model = cascade(*members, window(*rules), margin=margin, stages=FALLBACK, fusion=fusion)
        for pixels, found in zip(batch(3, *size)['inputs'], run(model, batch(3, *size)), strict=True):
            probs, exits, macs, on = choosing_loop(members, pixels, 32, rules, margin, fusion, fallbacks=[1])
            assert found.cells.exit_stages.tolist() == exits
            assert found.cells.macs.tolist() == pytest.approx(macs)
            assert found.macs == pytest.approx(sum(macs))
            assert_same_labels(found.pred_sem_seg.data[0], probs)
            ways.add((on[1] is None, any(exits)))
    assert {(True, True), (False, True)} <= ways


@pytest.mark.parametrize('fallbacks', [(1,), (2,), (1, 2)])
def test_later_stages_decide_on_what_an_image_gave(fallbacks):
    kinds = ['fcn', 'wide', 'pooled']
    members = [member_of(kind, seed) for seed, kind in enumerate(kinds)]
    stages = [
        dict(member=name, **(dict(fallback='image') if k in fallbacks else {}))
        for k, name in enumerate(('a', 'b', 'c'))
    ]
    seen = set()
    for thresholds in [(0.72, 0.7), (0.9, 0.75), (0.7, 1.0), (1.0, 0.72)]:
        rules = [(None, t) for t in thresholds]
        model = MODELS.build(
            dict(
                type='mmcascade.CascadeSegmentor',
                members=dict(zip('abc', members, strict=True)),
                stages=stages,
                grid=dict(cell=32, margin=4),
                policy=window(*rules),
            )
        )
        for pixels, found in zip(batch(3)['inputs'], run(model, batch(3)), strict=True):
            probs, exits, macs, ways = choosing_loop(members, pixels, 32, rules, 4, fallbacks=fallbacks)
            assert found.cells.exit_stages.tolist() == exits
            assert found.macs == pytest.approx(sum(macs))
            assert_same_labels(found.pred_sem_seg.data[0], probs)
            seen.add(tuple(way is None for way in ways))
    assert len(seen) > 1


@functools.cache
def falling_back():
    """A cascade of which some images run whole, and what it gives one image at a time."""
    model = cascade('fcn', 'wide', window((None, 0.72)), margin=4, stages=FALLBACK)
    return model, one_by_one(model)


@pytest.mark.parametrize('sizes', [(None, None), (2, 5), (1, 1), (None, 100)])
def test_batches_change_nothing(tmp_path, sizes):
    model, expected = falling_back()
    assert_batches_change_nothing(model, expected, sizes, tmp_path)


@pytest.mark.parametrize('size, crops, images', [(None, {2, 6}, {2}), (2, {2}, {1}), (5, {3, 5}, {1})])
def test_a_batch_size_bounds_crops_and_images(monkeypatch, size, crops, images):
    """Of four images of six cells, the first and the third send two cells on, the others all."""
    model = cascade('fcn', 'wide', window((None, 0.0)), margin=4, stages=FALLBACK)
    stage, seen = model.stages[1], []
    stage.batch_size = size
    forward = stage.forward
    monkeypatch.setattr(stage, 'forward', lambda rows: seen.append(tuple(rows.shape)) or forward(rows))
    units = [0, 1, *range(6, 12), 12, 13, *range(18, 24)]
    model.router.policy.go_on = lambda gap, confidence, unit: torch.tensor([int(u) in units for u in _flat(unit)])
    run(model, batch(4))
    whole = [n for n, *_, height, width in seen if (height, width) == (64, 96)]
    cut = [n for n, *_, height, width in seen if (height, width) != (64, 96)]
    assert sum(cut) == 4 and sum(whole) == 2
    assert max(cut) <= (size or 4) and set(whole) <= images


def _flat(unit):
    return [int(u) // 65536 * 6 + int(u) % 65536 for u in unit]


def test_no_image_costs_more_than_its_members():
    model = cascade('fcn', 'wide', margin=16, stages=FALLBACK)
    plain = cascade('fcn', 'wide', margin=16)
    for size in [(64, 96), (70, 101), (32, 96)]:
        bound = sum(scores_of(member_of(kind, seed), image(*size))[1] for seed, kind in enumerate(('fcn', 'wide')))
        (found,), (crops,) = run(model, batch(1, *size)), run(plain, batch(1, *size))
        assert found.macs == pytest.approx(bound) and crops.macs > bound


@pytest.mark.parametrize(
    'stage, message',
    [
        (dict(fallback='crop'), "fallback of stage 1 is 'image', or None, got 'crop'"),
        (dict(fallback='image', macs=1e6), "and fallback='image' compares the cost of crops"),
    ],
)
def test_what_makes_no_sense_is_refused(stage, message):
    with pytest.raises(ValueError, match=message):
        cascade('fcn', 'wide', stages=[dict(member='a'), dict(member='b', **stage)])


@pytest.mark.parametrize('stage, grid', [(dict(on='image'), {}), ({}, dict(cell=None))])
def test_a_stage_on_images_has_nowhere_to_fall(stage, grid):
    model = cascade('fcn', 'wide', stages=[dict(member='a'), dict(member='b', fallback='image', **stage)], **grid)
    assert model.stages[1].source == 'b on images'


def test_it_says_what_it_is():
    stage = cascade('fcn', 'wide', margin=4, stages=FALLBACK).stages[1]
    assert stage.describe() == 'cell or image'
    assert stage.source == 'b on cells with a margin of 4 or images'
    assert stage.identity().to_json()['fallback'] == 'images'
    assert 'fallback' not in stage.plain('cell').identity().to_json()
    assert stage.alone().source == 'b on images'


def test_a_bundle_of_it_is_refused():
    stage = cascade('fcn', 'wide', stages=FALLBACK).stages[1]
    with pytest.raises(ExportError, match="stage of member 'b' has fallback="):
        segmentor_graph(stage, (32, 32), 3, 'b.onnx')
