# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Cells that are judged at the resolution of the heads against those of which all pixels are made at once."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch

from mmcascade.models.runtimes.networks.segmentor_network import HeadNetwork, ends_with_enlarging
from mmcascade.routing import CONFIDENCES, FUSIONS, CascadeState, CellConfidence, UnitBatch
from mmcascade.routing.confidences.pixel_reducers import FractionBelowReducer, QuantileReducer
from tests.support.members.tiny_segmentors import TINY, batch, image, sample, tiny
from tests.test_models.segmentor_cascades import CLOSED, OPEN, cascade, labels, member_of, run, some_batches

CHOOSING = dict(join='rectangles', fallback='image')
HALF = dict(type='mmcascade.RandomPolicy', rates=[0.5])
#: Heads that only enlarge at the end: a quarter of the image's size here, aligned or not, with padding or not.
ENLARGING = ['fcn', 'wide', 'divisor', 'padded', 'corners', 'pooled', 'segformer']
OTHERS = ['slide', 'slide_padded', 'refined']


def every(step, **options):
    """With which a cell's policy is asked, whatever pixels are looked at."""
    return dict(type='mmcascade.CellConfidence', stride=step, t_unk=None, **options)


@pytest.mark.parametrize('kind', [*ENLARGING, *OTHERS])
def test_which_members_give_the_maps_of_their_heads(kind):
    network, pixels = HeadNetwork(member_of(kind)), image(50, 70)[None]
    assert ends_with_enlarging(network.module) == (kind in ENLARGING)
    with torch.no_grad():
        found = network.run(network.prepare(pixels)).logits
        assert (found.shape[2] < 50) == (kind in ENLARGING)
        # What a graph gives is read as what torch gives, with all that enlarging it takes.
        read = network.graph_output(network.graph_values(pixels), (50, 70))
        torch.testing.assert_close(read.logits, found)
        for name in ('inputs', 'padding', 'align_corners'):
            assert getattr(read, name, None) == getattr(network(pixels), name, None)


def test_a_head_with_a_last_step_of_its_own_makes_all_pixels():
    member = tiny('fcn')

    class Sharper(type(member.decode_head)):
        def predict_by_feat(self, seg_logits, batch_img_metas):
            return 2 * super().predict_by_feat(seg_logits, batch_img_metas)

    member.decode_head.__class__ = Sharper
    assert not ends_with_enlarging(member)
    (expected,) = run(member, batch())
    (found,) = run(cascade(member, 'fcn', CLOSED, confidence=every(4)), batch())
    assert torch.equal(found.pred_sem_seg.data, expected.pred_sem_seg.data)


@pytest.mark.parametrize('kind', [*ENLARGING, *OTHERS])
def test_labels_are_mmsegs_to_the_last_pixel(kind):
    member = member_of(kind)
    model = cascade(member, 'fcn', CLOSED, confidence=every(4))
    for ori, flip in itertools.product([None, (50, 80), (90, 131)], [None, 'horizontal', 'vertical']):
        expected = labels(run(member, batch(2, ori=ori, flip=flip)))
        assert len(expected.unique()) > 1
        assert torch.equal(labels(run(model, batch(2, ori=ori, flip=flip))), expected), (ori, flip)


@pytest.mark.slow
@pytest.mark.parametrize('fusion', FUSIONS)
@pytest.mark.parametrize(
    'pair, options',
    [
        (('corners', 'segformer'), dict()),
        (('few', 'few'), dict(margin=5, stages=[dict(member='a', scale=0.5), dict(member='b')])),
        (('slide', 'padded'), dict(stages=[dict(member='a'), dict(member='b', on='image')])),
        (
            ('divisor', 'refined'),
            dict(margin=3, stages=[dict(member='a'), dict(member='b', scale=1.4, temperature=2.0, **CHOOSING)]),
        ),
    ],
)
def test_everything_of_finished_cells_is_what_it_would_be(fusion, pair, options):
    """Bit for bit: labels, probabilities and the confidence of pixels, wherever the cell leaves."""
    options = dict(options, fusion=fusion, confidence_map=True, seg_logits=True)
    one, other = (cascade(*pair, HALF, confidence=every(step), **options) for step in (1, 3))
    for data in some_batches():
        for found, expected in zip(run(other, copy.deepcopy(data)), run(one, data), strict=True):
            assert found.cells.exit_stages.tolist() == expected.cells.exit_stages.tolist()
            for name in ('pred_sem_seg', 'seg_logits', 'confidence_map'):
                assert torch.equal(found.get(name).data, expected.get(name).data), name
            assert found.macs == expected.macs


@pytest.mark.parametrize('confidence', CONFIDENCES)
def test_labels_alone_are_the_same_too(confidence):
    one, other = (
        cascade('fcn', 'corners', HALF, confidence=every(step, pixel=confidence), fusion='replace') for step in (1, 2)
    )
    for data in some_batches():
        assert all(
            torch.equal(found.pred_sem_seg.data, expected.pred_sem_seg.data)
            for found, expected in zip(run(other, copy.deepcopy(data)), run(one, data), strict=True)
        )


@pytest.mark.parametrize('reduce', ['mean', QuantileReducer(0.2), FractionBelowReducer(0.6)])
@pytest.mark.parametrize('on', ['image', 'cell'])
@pytest.mark.parametrize('kind', ['fcn', 'corners', 'padded', 'slide'])
def test_confidences_are_those_of_the_pixels_looked_at(kind, on, reduce):
    """As every so many-th of all pixels has them, but for rounding."""
    stages = [dict(member='a'), dict(member='b', on=on, scale=0.7)]
    judged = CellConfidence(reduce=reduce, stride=5, t_unk=0.3)
    whole, thin = (
        cascade('fcn', kind, OPEN, confidence=one, stages=stages, margin=4) for one in (CellConfidence(), judged)
    )
    for size, ori, flip in [((64, 96), None, None), ((70, 101), None, 'vertical'), ((64, 96), (90, 131), 'horizontal')]:
        tile = thin.tile(image(*size), sample(*size, ori=ori, flip=flip))
        units = UnitBatch.submitted(tile, np.arange(len(tile)), 0)
        with torch.no_grad():
            for stage, other in zip(thin.stages, whole.stages, strict=True):
                found, expected = (CascadeState.start(one(units), 'prob') for one in (stage, other))
                assert found.total.shape[-2:] == (7, 7) and expected.total.shape[-2:] == (32, 32)
                torch.testing.assert_close(found.total, expected.every(5).total, rtol=1e-4, atol=1e-4)
                if not isinstance(reduce, FractionBelowReducer):  # which counts pixels on either side of a bound
                    torch.testing.assert_close(judged(found), judged(expected), rtol=1e-4, atol=1e-4)


class Broken(torch.nn.Module):
    """A last layer that gives NaN at one place."""

    def __init__(self, layer, place):
        super().__init__()
        self.layer, self.place = layer, place

    def forward(self, x):
        scores = self.layer(x).clone()
        scores[..., self.place[0], self.place[1]] = torch.nan
        return scores


@pytest.mark.parametrize('fusion', FUSIONS)
@pytest.mark.parametrize('place', [(0, 0), (3, 5), (7, 8), (-1, -1)])
def test_the_same_cells_have_scores_that_are_not_finite(place, fusion):
    broken = tiny('fcn', 1)
    broken.decode_head.conv_seg = Broken(broken.decode_head.conv_seg, place)
    for stages in [('a', 'b'), ('b', 'a')]:
        chain = [dict(member=stages[0]), dict(member=stages[1], on='image')]
        one, other = (
            cascade('fcn', broken, OPEN, cell=30, confidence=every(step), fusion=fusion, stages=chain)
            for step in (1, 11)
        )
        with pytest.warns() if False else torch.no_grad():
            (expected,), (found,) = run(one, batch(1, 64, 97)), run(other, batch(1, 64, 97))
        assert expected.get('missed') is not None and found.missed == expected.missed
        assert torch.equal(found.pred_sem_seg.data, expected.pred_sem_seg.data)


def test_waiting_cells_keep_the_maps_of_heads():
    bytes_of = {}
    for step in (1, 8):
        model = cascade(
            'fcn', 'corners', OPEN, confidence=every(step), stages=[dict(member='a'), dict(member='b', batch_size=99)]
        )
        with torch.no_grad(), model.ready().stream() as stream:
            unpacked = model.unpack(batch(1, 64, 96))
            stream.enqueue(*unpacked.parts[0])
            assert stream.run() == []
            image_bytes = 3 * 64 * 96
            bytes_of[step] = stream.waiting_bytes - image_bytes
            stream.flush()
    classes, pixels = 5, 64 * 96
    assert bytes_of[1] > 4 * classes * pixels
    assert bytes_of[8] < 4 * classes * pixels * (1 / 16 + 1 / 64) + 1000


def test_half_precision_is_enlarged_where_it_is_computed():
    model = cascade(
        'fcn', 'corners', CLOSED, confidence=every(4), stages=[dict(member='a', amp='bfloat16'), dict(member='b')]
    )
    plain = cascade('fcn', 'corners', CLOSED, stages=[dict(member='a', amp='bfloat16'), dict(member='b')])
    assert torch.equal(labels(run(model, batch(2))), labels(run(plain, batch(2))))


def test_kinds_are_all_here():
    assert set(TINY) - {'fixed', 'few', 'binary', 'many'} == {*ENLARGING, *OTHERS}
