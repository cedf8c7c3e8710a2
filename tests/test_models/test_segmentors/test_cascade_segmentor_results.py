# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""CascadeSegmentor: what comes out, also where scores are broken or nothing counts."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import PixelData

from mmcascade.registry import MODELS
from tests.support.members.tiny_segmentors import CLASSES, TINY, batch, tiny
from tests.support.references.loop_segmentor import fuse, scores_of
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


def broken(kind, where, seed=0):
    """A member whose scores are NaN at one of its features."""
    member = tiny(kind, seed)

    def spoil(module, inputs, output):
        output = output.clone()
        output[(slice(None), slice(None), *where)] = torch.nan
        return output

    member.decode_head.conv_seg.register_forward_hook(spoil)
    return member


def test_cells_without_finite_scores_go_on_unasked():
    a, b = broken('fcn', (1, 1)), tiny('wide', 1)
    nobody = window((1e9, None))
    (found,) = run(cascade(a, b, nobody, confidence_map=True), batch())
    assert found.cells.exit_stages.tolist() == [1, 0, 0, 0, 0, 0]
    assert found.nonfinite_cells == 0
    assert found.cells.confidence.isfinite().all()
    # Only the second member counts where the first gave nothing.
    second = fuse([scores_of(b, batch()['inputs'][0][:, :32, :32])[0]], 'prob')
    assert_same_labels(found.pred_sem_seg.data[0, :32, :32], second)

    (closed,) = run(cascade(a, b, CLOSED, confidence_map=True), batch())
    assert closed.cells.exit_stages.tolist() == [0] * 6
    assert closed.nonfinite_cells == 1
    assert closed.cells.confidence[0] == -torch.inf and closed.cells.confidence[1:].isfinite().all()
    assert (closed.confidence_map.data[0, :32, :32] == -torch.inf).all()
    assert closed.confidence_map.data[0, 32:].isfinite().all()

    (lost,) = run(cascade(a, broken('wide', (2, 2), 1), nobody, seg_logits=True), batch())
    assert lost.nonfinite_cells == 1 and lost.cells.exit_stages.tolist() == [1, 0, 0, 0, 0, 0]
    assert lost.cells.confidence[0] == -torch.inf
    torch.testing.assert_close(lost.seg_logits.data[:, :32, :32].exp(), torch.full((CLASSES, 32, 32), 1 / CLASSES))


@pytest.mark.parametrize(
    'policy',
    [
        window((None, None)),
        window((1e9, None)),
        CLOSED,
        dict(type='mmcascade.RandomPolicy', rates=[0.0]),
        dict(type='mmcascade.RandomPolicy', rates=[1.0]),
    ],
)
@pytest.mark.parametrize('empty', ['go_on', 'exit'])
def test_cells_of_which_no_pixel_counts(policy, empty):
    model = cascade('fcn', 'wide', policy, confidence=dict(t_unk=0.99999, empty=empty))
    (found,) = run(model, batch())
    goes = empty == 'go_on' and policy is not CLOSED
    assert found.cells.exit_stages.tolist() == [int(goes)] * 6
    assert found.cells.confidence.isnan().all()
    assert found.nonfinite_cells == 0


@pytest.mark.parametrize('indexed', [True, False])
def test_a_budget_holds_for_every_image(indexed):
    """Also where a stage joins the batches of a loader that gives no numbers to images."""
    model = cascade('fcn', 'wide', dict(type='mmcascade.CellBudgetPolicy', windows=[(None, None)], max_cells=2))
    model.stages[0].batch_size = 3
    singles = [batch(first=i, seed=i) for i in range(4)]
    if not indexed:
        for data in singles:
            del data['data_samples'][0].sample_idx
    exits = []
    with model.router.stream() as stream:
        for data in singles:
            stream.enqueue(*model.unpack(data).parts[0])
        outcomes = stream.flush()
    outcome = type(outcomes[0]).cat(outcomes).in_order()
    exits = outcome.exit_stage.reshape(4, 6)
    assert exits.sum(1).tolist() == [2] * 4
    first = run(cascade('fcn', policy=None, stages=[dict(member='a')]), batch(4))
    for row, alone in zip(exits, first, strict=True):
        assert set(np.flatnonzero(row)) == set(np.argsort(alone.cells.confidence.numpy())[:2])


def test_random_policy_needs_numbers():
    model = cascade('fcn', 'wide', dict(type='mmcascade.RandomPolicy', rates=[0.5]))
    data = batch()
    del data['data_samples'][0].sample_idx
    with pytest.raises(ValueError, match="decides by each image's index.*'sample_idx'.*PackSegInputs"):
        run(model, data)


def test_fields_of_a_data_sample():
    data = batch(2, ori=(50, 80))
    data['data_samples'][0].gt_sem_seg = annotation = PixelData(data=torch.zeros(1, 50, 80, dtype=torch.uint8))
    given = list(data['data_samples'])
    found = run(cascade('fcn', 'wide', window((None, 0.7)), confidence_map=True, seg_logits=True), data)
    assert all(one is other for one, other in zip(found, given, strict=True))
    assert found[0].gt_sem_seg is annotation and 'gt_sem_seg' not in found[1]
    for one in found:
        assert one.pred_sem_seg.data.dtype == torch.int64 and one.pred_sem_seg.data.shape == (1, 50, 80)
        assert one.confidence_map.data.dtype == torch.float32 and one.confidence_map.data.shape == (1, 50, 80)
        assert one.seg_logits.data.shape == (CLASSES, 50, 80)
        torch.testing.assert_close(one.seg_logits.data.exp().sum(0), torch.ones(50, 80))
        assert torch.equal(one.seg_logits.data.argmax(0)[None], one.pred_sem_seg.data)
        torch.testing.assert_close(one.confidence_map.data[0], one.seg_logits.data.exp().amax(0))
        assert {key: (value.dtype, tuple(value.shape)) for key, value in one.cells.items()} == dict(
            bboxes=(torch.int64, (6, 4)),
            confidence=(torch.float32, (6,)),
            exit_stages=(torch.int64, (6,)),
            macs=(torch.float64, (6,)),
        )
        assert len(one.cells) == 6 and len(one.cells[one.cells.exit_stages == 0]) < 6
        assert isinstance(one.macs, float) and isinstance(one.mean_exit_stage, float)
        assert one.reached[0] == 1.0 and len(one.reached) == 2 and one.num_stages == 2
        assert one.nonfinite_cells == 0 and 'num_stages' in one.metainfo
        covered = torch.zeros(50, 80)
        for left, top, right, bottom in one.cells.bboxes.tolist():
            covered[top:bottom, left:right] += 1
        assert (covered == 1).all()
    (bare,) = run(cascade('fcn', 'wide'), batch())
    assert 'seg_logits' not in bare and 'confidence_map' not in bare
    assert bare.to_dict()['cells']['bboxes'].shape == (6, 4)


def test_one_sample_does_not_drag_a_batch_along():
    found = run(cascade('fcn', 'wide', confidence_map=True, seg_logits=True), batch(3))
    tensors = [
        *(getattr(found[1], name).data for name in ('pred_sem_seg', 'confidence_map', 'seg_logits')),
        *found[1].cells.values(),
    ]
    for x in tensors:
        assert x.untyped_storage().nbytes() == x.nbytes
    assert len(pickle.dumps(found[1])) < sum(x.nbytes for x in tensors) + 20_000


def test_more_classes_than_a_byte_tells_apart():
    member = member_of('many')
    expected = labels(run(member, batch()))
    assert expected.max() > 255
    assert torch.equal(labels(run(cascade(member, 'many', CLOSED), batch())), expected)


def test_inputs_in_other_forms():
    model = cascade('fcn', 'wide')
    data = batch(2)
    expected = labels(run(model, batch(2)))
    with torch.no_grad():
        assert torch.equal(model(torch.stack(data['inputs'])), expected)
        made = model(data['inputs'], mode='predict')
        assert torch.equal(labels(made), expected) and made[0].ori_shape == (64, 96)
        assert model([], []).shape == (0, 0, 0)
        assert model([], [], mode='predict') == []
    assert torch.equal(labels(run(model, (data['inputs'], data['data_samples']))), expected)
    floats = batch(2)
    floats['inputs'] = [x.float() for x in floats['inputs']]
    assert torch.equal(labels(run(model, floats)), expected)
    with pytest.raises(RuntimeError, match='a cascade has no loss'):
        model(data['inputs'], mode='loss')
    with pytest.raises(ValueError, match="unknown mode 'logits'"):
        model(data['inputs'], mode='logits')


def test_members_are_built_from_configs_and_saved_whole():
    specs = {name: dict(model=dict(_scope_='mmseg', **TINY[kind])) for name, kind in (('a', 'fcn'), ('b', 'wide'))}
    model = MODELS.build(
        ConfigDict(
            type='mmcascade.CascadeSegmentor',
            members=specs,
            stages=[dict(member='a'), dict(member='b')],
            grid=dict(cell=32),
            policy=OPEN,
            data_preprocessor=dict(type='SegDataPreProcessor'),
            train_cfg=None,
            test_cfg=dict(mode='whole'),
            confidence=dict(type='mmcascade.CellConfidence', reduce=dict(type='mmcascade.QuantileReducer', q=0.1)),
        )
    )
    assert model.confidence.name == 'quantile 0.1 of max_prob over pixels above 0.5, else go_on'
    with pytest.raises(RuntimeError, match=r"no weights were loaded for member\(s\) \['a', 'b'\]"):
        run(model, batch())
    filled = cascade('fcn', 'wide')
    model.load_state_dict(filled.state_dict())
    assert torch.equal(labels(run(model, batch())), labels(run(filled, batch())))
    other = copy.deepcopy(filled)
    assert torch.equal(labels(run(other, batch())), labels(run(filled, batch())))
    for name, value in member_of('wide', 1).state_dict().items():
        assert torch.equal(filled.state_dict()[f'members.b.{name}'], value)
