# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""CascadeSegmentor against MMSegmentation itself and against a plain loop over cells."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mmcascade.registry import MODELS
from mmcascade.routing import CONFIDENCES, FUSIONS
from tests.support.members.tiny_segmentors import batch, image, sample
from tests.support.references.loop_segmentor import cells_of, crop_of, fuse, loop_segmentor, scores_of
from tests.test_models.segmentor_cascades import (
    CLOSED,
    OPEN,
    assert_same_labels,
    cascade,
    labels,
    member_of,
    run,
    window,
)

KINDS = ['fcn', 'divisor', 'padded', 'corners', 'slide', 'slide_padded', 'pooled', 'refined', 'segformer']


@pytest.mark.parametrize('kind', KINDS)
def test_nobody_on_is_member_zero_through_mmseg(kind):
    member = member_of(kind)
    model = cascade(member, 'fcn', CLOSED)
    for ori, flip in itertools.product([None, (50, 80), (90, 131)], [None, 'horizontal', 'vertical']):
        expected = labels(run(member, batch(2, ori=ori, flip=flip)))
        assert len(expected.unique()) > 1
        found = run(model, batch(2, ori=ori, flip=flip))
        assert torch.equal(labels(found), expected), (ori, flip)
        assert {s.mean_exit_stage for s in found} == {0.0}


@pytest.mark.parametrize('kind', ['fcn', 'slide_padded'])
def test_scale_is_mmseg_on_the_resized_image(kind):
    cv2 = pytest.importorskip('cv2')
    member = member_of(kind)
    data = batch(2)
    halves = [cv2.resize(x.permute(1, 2, 0).numpy(), (48, 32), interpolation=cv2.INTER_LINEAR) for x in data['inputs']]
    small = dict(
        inputs=[torch.from_numpy(x).permute(2, 0, 1) for x in halves],
        data_samples=[sample(32, 48, ori=(64, 96)) for _ in halves],
    )
    expected = labels(run(member, small))
    found = run(cascade(member, 'fcn', CLOSED, stages=[dict(member='a', scale=0.5), dict(member='b')]), data)
    # OpenCV rounds to whole grey levels in another way.
    assert (labels(found) == expected).float().mean() > 0.98
    from mmcascade.models.cells.crops import resize_bilinear

    ours = resize_bilinear(torch.stack(data['inputs']), (32, 48))
    assert (ours.int() - torch.stack(small['inputs']).int()).abs().max() <= 1
    small = dict(inputs=list(ours), data_samples=[sample(32, 48, ori=(64, 96)) for _ in halves])
    assert torch.equal(labels(found), labels(run(member, small)))


@pytest.mark.parametrize('kind', KINDS)
def test_everybody_on_with_replace_is_the_second_member_on_crops(kind):
    member = member_of(kind, 1)
    model = cascade('fcn', member, OPEN, fusion='replace')
    for size in [(64, 96), (70, 101), (33, 64)]:
        check_stitched_crops(model, member, size)


def check_stitched_crops(model, member, size):
    data = batch(2, *size)
    found = run(model, copy.deepcopy(data))
    for pixels, result in zip(data['inputs'], found, strict=True):
        expected, clear = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=bool)
        for cell in cells_of(*size, 32):
            top, left, bottom, right = crop_of(cell, 32, 0, *size)
            (crop,) = run(member, dict(inputs=[pixels[:, top:bottom, left:right]], data_samples=[sample(32, 32)]))
            first, second = crop.seg_logits.data.topk(2, 0).values
            here = np.s_[cell[0] : cell[2], cell[1] : cell[3]]
            there = np.s_[cell[0] - top : cell[2] - top, cell[1] - left : cell[3] - left]
            expected[here] = crop.pred_sem_seg.data[0].numpy()[there]
            clear[here] = (first - second > 1e-4).numpy()[there]
        # Several crops at once round differently from one, which decides where two classes are as probable.
        assert (labels([result])[0].numpy() == expected)[clear].all() and clear.mean() > 0.99
        assert result.mean_exit_stage == 1


def middle(scores):
    """A bound between two scores, away from both."""
    ordered = np.unique(np.round([s for s in scores if np.isfinite(s)], 5))
    return float(ordered[len(ordered) // 2 - 1 : len(ordered) // 2 + 1].mean())


@pytest.mark.parametrize('confidence', CONFIDENCES)
@pytest.mark.parametrize('fusion, margin', list(zip(FUSIONS, [8, 0, 5], strict=True)))
def test_routes_equal_the_loop(confidence, fusion, margin):
    a, b = member_of('fcn'), member_of('corners', 1)
    pixels = image(70, 101, seed=3)
    _, first, _ = loop_segmentor([a], pixels, 32, [], confidence=confidence, fusion=fusion)
    rule = (None, middle([cell['confidence'] for cell in first]))
    check_against_loop([a, b], pixels, [rule], confidence=confidence, fusion=fusion, margin=margin)


@pytest.mark.parametrize(
    'fusion, on',
    [
        ('prob', ('image', 'cell', 'cell')),
        ('logit', ('image', 'image', 'cell')),
        ('replace', ('image', 'cell', 'image')),
        ('prob', ('image', 'image', 'image')),
    ],
)
def test_three_stages_equal_the_loop(on, fusion):
    members = [member_of('fcn'), member_of('corners', 1), member_of('wide', 2)]
    pixels = image(70, 101, seed=4)
    rules = []
    for gap in range(2):
        _, cells, _ = loop_segmentor(members[: gap + 1], pixels, 32, rules, on=on[: gap + 1], fusion=fusion)
        reached = [cell['confidence'] for cell in cells if cell['exit_stage'] == gap]
        rules.append((None, middle(reached)))
    exits = check_against_loop(members, pixels, rules, on=on, fusion=fusion)
    assert exits == {0, 1, 2}


@pytest.mark.parametrize(
    'reduce, reference',
    [
        ('mean', np.mean),
        (dict(type='mmcascade.QuantileReducer', q=0.1), lambda c: np.quantile(c, 0.1)),
        ('fraction_below', lambda c: 1 - np.mean(np.array(c) < 0.9)),
    ],
)
@pytest.mark.parametrize('t_unk', [None, 0.5])
def test_reducers_in_a_cascade_equal_the_loop(reduce, reference, t_unk):
    check_against_loop(
        [member_of('fcn'), member_of('wide', 1)],
        image(seed=2),
        [(None, None)],
        t_unk=t_unk,
        reduce=reference,
        config=dict(reduce=reduce),
    )


def check_against_loop(
    members,
    pixels,
    rules,
    *,
    on=None,
    confidence='max_prob',
    fusion='prob',
    margin=0,
    t_unk=0.5,
    reduce=np.mean,
    empty='go_on',
    config=None,
):
    probs, cells, macs = loop_segmentor(
        members,
        pixels,
        32,
        rules,
        on=on,
        margin=margin,
        confidence=confidence,
        fusion=fusion,
        t_unk=t_unk,
        reduce=reduce,
        empty=empty,
    )
    names = [f'm{k}' for k in range(len(members))]
    stages = [
        dict(member=name) | ({} if on is None else dict(on=place))
        for name, place in zip(names, on or names, strict=True)
    ]
    model = MODELS.build(
        dict(
            type='mmcascade.CascadeSegmentor',
            members=dict(zip(names, members, strict=True)),
            stages=stages,
            grid=dict(cell=32, margin=margin),
            fusion=fusion,
            policy=window(*rules),
            confidence_map=True,
            seg_logits=True,
            confidence=dict(pixel=confidence, t_unk=t_unk, empty=empty) | (config or {}),
        )
    )
    height, width = pixels.shape[-2:]
    counter = FlopCounterMode(display=False)
    with counter:
        (result,) = run(model, dict(inputs=[pixels], data_samples=[sample(height, width, sample_idx=0)]))
    exits = [cell['exit_stage'] for cell in cells]
    assert result.cells.exit_stages.tolist() == exits
    assert result.cells.bboxes.tolist() == [cell['bbox'] for cell in cells]
    np.testing.assert_allclose(
        result.cells.confidence.numpy(), [cell['confidence'] for cell in cells], rtol=1e-4, atol=1e-5
    )
    assert_same_labels(result.pred_sem_seg.data[0], probs)
    np.testing.assert_allclose(result.seg_logits.data.exp().numpy(), probs, atol=1e-5)
    areas = np.array([(right - left) * (bottom - top) for left, top, right, bottom in (c['bbox'] for c in cells)])
    assert result.macs == pytest.approx(macs) == pytest.approx(counter.get_total_flops() / 2)
    assert float(result.cells.macs.sum()) == pytest.approx(macs)
    assert result.mean_exit_stage == pytest.approx((areas * exits).sum() / areas.sum())
    assert result.reached == pytest.approx(
        [areas[np.array(exits) >= k].sum() / areas.sum() for k in range(len(members))]
    )
    assert result.confidence_map.data.shape == (1, height, width)
    mapped = result.confidence_map.data[0].numpy()
    for cell, found in zip(cells, result.cells.confidence.tolist(), strict=True):
        if t_unk is None and reduce is np.mean:
            left, top, right, bottom = cell['bbox']
            assert mapped[top:bottom, left:right].mean() == pytest.approx(found, rel=1e-4)
    return set(exits)


@pytest.mark.parametrize('on', ['image', 'cell'])
def test_one_cell_per_image_is_a_cascade_of_images(on):
    a, b = member_of('fcn'), member_of('wide', 1)
    model = cascade(a, b, cell=None, stages=[dict(member='a'), dict(member='b', on=on)])
    data = batch(3)
    expected = [fuse([scores_of(m, x)[0] for m in (a, b)], 'prob') for x in data['inputs']]
    for probs, found in zip(expected, run(model, data), strict=True):
        assert_same_labels(found.pred_sem_seg.data[0], probs)
        assert found.cells.bboxes.tolist() == [[0, 0, 96, 64]]
        assert found.cells.exit_stages.tolist() == [1]


@pytest.mark.parametrize('direction, axis', [('horizontal', -1), ('vertical', -2)])
def test_crops_of_mirrored_images_are_those_of_the_image(direction, axis):
    """The pipeline mirrors; the cells lie on the original, and every crop is mirrored as the image is."""
    member, size = member_of('corners', 1), (70, 101)
    pixels = image(*size)
    (found,) = run(
        cascade('fcn', member, OPEN, margin=5, fusion='replace'),
        dict(inputs=[pixels.flip(axis)], data_samples=[sample(*size, flip=direction)]),
    )
    expected = np.zeros(size, dtype=np.int64)
    for cell in cells_of(*size, 32):
        top, left, bottom, right = crop_of(cell, 32, 5, *size)
        (crop,) = run(
            member,
            dict(inputs=[pixels[:, top:bottom, left:right].flip(axis)], data_samples=[sample(42, 42, flip=direction)]),
        )
        expected[cell[0] : cell[2], cell[1] : cell[3]] = crop.pred_sem_seg.data[
            0, cell[0] - top : cell[2] - top, cell[1] - left : cell[3] - left
        ]
    assert (labels([found])[0].numpy() == expected).mean() > 0.999


@pytest.mark.parametrize('flip', [None, 'horizontal', 'vertical'])
@pytest.mark.parametrize('ori', [(40, 61), (90, 131)])
@pytest.mark.parametrize('kind', ['fcn', 'corners'])
def test_a_crop_of_the_whole_image_is_mmseg_on_the_image(kind, ori, flip):
    member = member_of(kind, 1)
    model = cascade('fcn', member, OPEN, cell=ori, fusion='replace', seg_logits=True)
    found, expected = run(model, batch(ori=ori, flip=flip))[0], run(member, batch(ori=ori, flip=flip))[0]
    torch.testing.assert_close(found.seg_logits.data.exp(), expected.seg_logits.data.softmax(0), rtol=1e-3, atol=1e-4)
    assert (labels([found]) == labels([expected])).float().mean() > 0.999
