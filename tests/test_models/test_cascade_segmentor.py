# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""CascadeSegmentor against MMSegmentation itself and against a plain loop over cells."""

from __future__ import annotations

import copy
import functools
import itertools
import pickle
import weakref

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.runner import Runner
from mmengine.structures import PixelData
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from mmcascade.engine.kept_batches import KeptBatches
from mmcascade.models.grid import Grid
from mmcascade.models.tiled_image import TiledImage
from mmcascade.registry import MODELS
from mmcascade.routing import CONFIDENCES, FUSIONS, UnitBatch
from tests.loop_segmentor import cells_of, crop_of, fuse, loop_segmentor, scores_of
from tests.tiny_segmentors import CLASSES, TINY, batch, image, sample, tiny

CLOSED, OPEN = dict(type='mmcascade.WindowPolicy', windows=[None]), dict(
    type='mmcascade.WindowPolicy', windows=[(None, None)])
TWO = (dict(member='a'), dict(member='b'))


#: Members that no test changes.
member_of = functools.cache(tiny)


def window(*windows):
    return dict(type='mmcascade.WindowPolicy', windows=list(windows))


def cascade(a, b=None, policy=OPEN, cell=32, margin=0, stages=TWO, **options):
    members = dict(a=member_of(a) if isinstance(a, str) else a)
    if b is not None:
        members['b'] = member_of(b, 1) if isinstance(b, str) else b
    grid = dict(cell=cell, margin=margin) if margin else dict(cell=cell)
    return MODELS.build(dict(type='mmcascade.CascadeSegmentor', members=members, stages=list(stages), grid=grid,
                             policy=policy, **options))


def run(model, data):
    with torch.no_grad():
        return model.test_step(data)


def labels(samples):
    return torch.stack([s.pred_sem_seg.data[0].long() for s in samples])


def assert_same_labels(found, probs, margin=1e-5):
    """Equal but for pixels at which two classes are equally probable."""
    ordered = np.sort(probs, axis=0)
    clear = ordered[-1] - ordered[-2] > margin
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(found.numpy()[clear], probs.argmax(0)[clear])


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
    small = dict(inputs=[torch.from_numpy(x).permute(2, 0, 1) for x in halves],
                 data_samples=[sample(32, 48, ori=(64, 96)) for _ in halves])
    expected = labels(run(member, small))
    found = run(cascade(member, 'fcn', CLOSED, stages=[dict(member='a', scale=0.5), dict(member='b')]), data)
    # OpenCV rounds to whole grey levels in another way.
    assert (labels(found) == expected).float().mean() > 0.98
    from mmcascade.models.crops import resize_images
    ours = resize_images(torch.stack(data['inputs']), (32, 48))
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
        expected = np.zeros(size, dtype=np.int64)
        for cell in cells_of(*size, 32):
            top, left, bottom, right = crop_of(cell, 32, 0, *size)
            crop, = run(member, dict(inputs=[pixels[:, top:bottom, left:right]], data_samples=[sample(32, 32)]))
            expected[cell[0]:cell[2], cell[1]:cell[3]] = crop.pred_sem_seg.data[
                0, cell[0] - top:cell[2] - top, cell[1] - left:cell[3] - left]
        # Several crops at once round differently from one.
        assert (labels([result])[0].numpy() == expected).mean() > 0.9999
        assert result.mean_exit_stage == 1


def middle(scores):
    """A bound between two scores, away from both."""
    ordered = np.unique(np.round([s for s in scores if np.isfinite(s)], 5))
    return float(ordered[len(ordered) // 2 - 1:len(ordered) // 2 + 1].mean())


@pytest.mark.parametrize('confidence', CONFIDENCES)
@pytest.mark.parametrize('fusion, margin', list(zip(FUSIONS, [8, 0, 5], strict=True)))
def test_routes_equal_the_loop(confidence, fusion, margin):
    a, b = member_of('fcn'), member_of('corners', 1)
    pixels = image(70, 101, seed=3)
    _, first, _ = loop_segmentor([a], pixels, 32, [], confidence=confidence, fusion=fusion)
    rule = (None, middle([cell['confidence'] for cell in first]))
    check_against_loop([a, b], pixels, [rule], confidence=confidence, fusion=fusion, margin=margin)


@pytest.mark.parametrize('fusion, on', [
    ('prob', ('image', 'cell', 'cell')), ('logit', ('image', 'image', 'cell')), ('replace', ('image', 'cell', 'image')),
    ('prob', ('image', 'image', 'image'))])
def test_three_stages_equal_the_loop(on, fusion):
    members = [member_of('fcn'), member_of('corners', 1), member_of('wide', 2)]
    pixels = image(70, 101, seed=4)
    rules = []
    for gap in range(2):
        _, cells, _ = loop_segmentor(members[:gap + 1], pixels, 32, rules, on=on[:gap + 1], fusion=fusion)
        reached = [cell['confidence'] for cell in cells if cell['exit_stage'] == gap]
        rules.append((None, middle(reached)))
    exits = check_against_loop(members, pixels, rules, on=on, fusion=fusion)
    assert exits == {0, 1, 2}


@pytest.mark.parametrize('reduce, reference', [
    ('mean', np.mean), (dict(type='mmcascade.QuantileReducer', q=0.1), lambda c: np.quantile(c, 0.1)),
    ('fraction_below', lambda c: 1 - np.mean(np.array(c) < 0.9))])
@pytest.mark.parametrize('t_unk', [None, 0.5])
def test_reducers_in_a_cascade_equal_the_loop(reduce, reference, t_unk):
    check_against_loop([member_of('fcn'), member_of('wide', 1)], image(seed=2), [(None, None)], t_unk=t_unk,
                       reduce=reference, config=dict(reduce=reduce))


def check_against_loop(members, pixels, rules, *, on=None, confidence='max_prob', fusion='prob', margin=0, t_unk=0.5,
                       reduce=np.mean, empty='go_on', config=None):
    probs, cells, macs = loop_segmentor(members, pixels, 32, rules, on=on, margin=margin, confidence=confidence,
                                        fusion=fusion, t_unk=t_unk, reduce=reduce, empty=empty)
    names = [f'm{k}' for k in range(len(members))]
    stages = [dict(member=name) | ({} if on is None else dict(on=place))
              for name, place in zip(names, on or names, strict=True)]
    model = MODELS.build(dict(
        type='mmcascade.CascadeSegmentor', members=dict(zip(names, members, strict=True)), stages=stages,
        grid=dict(cell=32, margin=margin), fusion=fusion, policy=window(*rules), confidence_map=True, seg_logits=True,
        confidence=dict(pixel=confidence, t_unk=t_unk, empty=empty) | (config or {})))
    height, width = pixels.shape[-2:]
    counter = FlopCounterMode(display=False)
    with counter:
        result, = run(model, dict(inputs=[pixels], data_samples=[sample(height, width, sample_idx=0)]))
    exits = [cell['exit_stage'] for cell in cells]
    assert result.cells.exit_stages.tolist() == exits
    assert result.cells.bboxes.tolist() == [cell['bbox'] for cell in cells]
    np.testing.assert_allclose(result.cells.confidence.numpy(), [cell['confidence'] for cell in cells], rtol=1e-4,
                               atol=1e-5)
    assert_same_labels(result.pred_sem_seg.data[0], probs)
    np.testing.assert_allclose(result.seg_logits.data.exp().numpy(), probs, atol=1e-5)
    areas = np.array([(right - left) * (bottom - top) for left, top, right, bottom in (c['bbox'] for c in cells)])
    assert result.macs == pytest.approx(macs) == pytest.approx(counter.get_total_flops() / 2)
    assert float(result.cells.macs.sum()) == pytest.approx(macs)
    assert result.mean_exit_stage == pytest.approx((areas * exits).sum() / areas.sum())
    assert result.reached == pytest.approx([areas[np.array(exits) >= k].sum() / areas.sum()
                                            for k in range(len(members))])
    assert result.confidence_map.data.shape == (1, height, width)
    mapped = result.confidence_map.data[0].numpy()
    for cell, found in zip(cells, result.cells.confidence.tolist(), strict=True):
        if t_unk is None and reduce is np.mean:
            left, top, right, bottom = cell['bbox']
            assert mapped[top:bottom, left:right].mean() == pytest.approx(found, rel=1e-4)
    return set(exits)


@pytest.mark.parametrize('kind, stages, cell', [
    ('segformer', [dict(member='a'), dict(member='b')], 32),
    ('slide_padded', [dict(member='a', scale=0.5), dict(member='b', scale=1.5)], 32),
    ('pooled', [dict(member='a'), dict(member='b', on='image', scale=0.75)], 32),
    ('slide_padded', [dict(member='a'), dict(member='b')], None),
    ('segformer', [dict(member='a'), dict(member='b', on='cell')], None)])
def test_macs_are_those_of_what_really_ran(kind, stages, cell):
    model = cascade('fcn', stages=stages[:1], cell=cell, policy=None)
    data = batch(2, 70, 101, ori=(64, 96), flip='horizontal')
    scores = run(model, copy.deepcopy(data))[0].cells.confidence
    open_end = middle(scores.tolist()) if len(scores) > 1 else 1.0
    model = cascade('fcn', kind, stages=stages, cell=cell, policy=window((None, open_end)))
    run(model, copy.deepcopy(data))  # counting is not counted
    counter = FlopCounterMode(display=False)
    with counter:
        found = run(model, data)
    assert sum(s.macs for s in found) == pytest.approx(counter.get_total_flops() / 2)
    assert sum(float(s.cells.macs.sum()) for s in found) == pytest.approx(counter.get_total_flops() / 2)
    assert max(s.mean_exit_stage for s in found) > 0


def test_macs_of_a_stage_can_be_given():
    found, = run(cascade('fcn', 'wide', stages=[dict(member='a', macs=600.0), dict(member='b', macs=10.0)]), batch())
    assert found.macs == pytest.approx(660)
    np.testing.assert_allclose(found.cells.macs, [110] * 6)
    assert found.reached == [1, 1]


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
    found, = run(cascade('fcn', member, OPEN, margin=5, fusion='replace'), dict(
        inputs=[pixels.flip(axis)], data_samples=[sample(*size, flip=direction)]))
    expected = np.zeros(size, dtype=np.int64)
    for cell in cells_of(*size, 32):
        top, left, bottom, right = crop_of(cell, 32, 5, *size)
        crop, = run(member, dict(inputs=[pixels[:, top:bottom, left:right].flip(axis)],
                                 data_samples=[sample(42, 42, flip=direction)]))
        expected[cell[0]:cell[2], cell[1]:cell[3]] = crop.pred_sem_seg.data[
            0, cell[0] - top:cell[2] - top, cell[1] - left:cell[3] - left]
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


def some_batches():
    """Loader batches of different sizes, flips and lengths."""
    shapes = [(2, (64, 96), {}), (1, (70, 101), {}), (3, (64, 96), {}), (1, (64, 96), dict(flip='horizontal')),
              (2, (64, 96), dict(ori=(50, 80))), (2, (70, 101), {})]
    first = 0
    for number, size, how in shapes:
        yield batch(number, *size, seed=first, first=first, **how)
        first += number


def facts(sample):
    return dict(exits=sample.cells.exit_stages.tolist(), confidence=sample.cells.confidence, macs=sample.macs,
                labels=sample.pred_sem_seg.data, boxes=sample.cells.bboxes.tolist(), reached=sample.reached)


def assert_same_facts(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one['exits'] == other['exits']
        assert one['boxes'] == other['boxes'] and one['reached'] == other['reached']
        torch.testing.assert_close(one['confidence'], other['confidence'], rtol=1e-4, atol=1e-5, equal_nan=True)
        assert one['macs'] == pytest.approx(other['macs'])
        assert one['labels'].shape == other['labels'].shape
        assert (one['labels'] == other['labels']).float().mean() > 0.9995


@functools.cache
def deferring():
    """A cascade in which some cells go on, and what it gives one image at a time."""
    model = cascade('fcn', 'wide', margin=4, stages=[dict(member='a'), dict(member='b')], policy=window((None, 0.72)))
    singles = [dict(inputs=[x], data_samples=[s]) for data in some_batches()
               for x, s in zip(data['inputs'], data['data_samples'], strict=True)]
    expected = [facts(run(model, single)[0]) for single in singles]
    exits = sum((x['exits'] for x in expected), [])
    assert 0.2 < np.mean(exits) < 0.8
    return model, expected


def test_batches_change_nothing():
    model, expected = deferring()
    assert_same_facts([facts(s) for data in some_batches() for s in run(model, data)], expected)


class Images(list):
    metainfo = dict(classes=tuple('abcde'))


class Recorder(BaseMetric):
    def __init__(self):
        super().__init__()
        self.samples = []

    def process(self, data_batch, data_samples):
        self.samples += data_batch['data_samples']
        self.results += [0] * len(data_samples)

    def compute_metrics(self, results):
        return dict(count=len(results))


@pytest.mark.parametrize('sizes, options', [
    ((None, None), {}), ((2, 5), {}), ((3, 100), {}), ((1, 1), {}), ((None, 7), dict(max_waiting=7)), (None, None)])
def test_the_deferred_loop_changes_nothing(tmp_path, sizes, options):
    model, expected = deferring()
    for stage, size in zip(model.stages, sizes or (None, None), strict=True):
        stage.batch_size = size
    ends = np.cumsum([0] + [len(data['inputs']) for data in some_batches()])
    loader = dict(batch_sampler=[list(range(a, b)) for a, b in itertools.pairwise(ends)])
    try:
        samples = run_loop(model, loader, None if sizes is None else options, tmp_path)
    finally:
        for stage in model.stages:
            stage.batch_size = None
    assert [s.sample_idx for s in samples] == list(range(len(expected)))
    assert_same_facts([facts(s) for s in samples], expected)


def test_the_deferred_loop_waits_for_the_cells_of_a_loader_batch(tmp_path, monkeypatch):
    """Of an image at a time, cells wait for as many as an image has; they do not run one by one."""
    model, expected = deferring()
    stage, seen = model.stages[1], []
    forward = stage.forward
    monkeypatch.setattr(stage, 'forward', lambda images: seen.append(len(images)) or forward(images))
    samples = run_loop(model, dict(batch_size=1), {}, tmp_path)
    assert_same_facts([facts(s) for s in samples], expected)
    assert sum(seen) == sum(sum(x['exits']) for x in expected)
    # Five kinds of images, of which each may leave a rest.
    assert sum(size < 6 for size in seen) <= 5 and set(seen) <= set(range(1, 7))


def run_loop(model, loader, deferred, tmp_path):
    """The data samples that metrics get."""
    images = [dict(inputs=x, data_samples=s) for data in some_batches()
              for x, s in zip(data['inputs'], data['data_samples'], strict=True)]
    recorder = Recorder()
    runner = Runner(
        model, str(tmp_path), test_dataloader=DataLoader(Images(images), collate_fn=pseudo_collate, **loader),
        test_cfg=dict() if deferred is None else dict(type='mmcascade.DeferredTestLoop', **deferred),
        test_evaluator=Evaluator(recorder), experiment_name=tmp_path.name, log_level='ERROR',
        default_hooks=dict.fromkeys(['logger', 'timer', 'param_scheduler', 'checkpoint', 'sampler_seed',
                                     'runtime_info']))
    assert runner.test() == dict(count=len(images))
    return recorder.samples


@pytest.mark.parametrize('sizes', [(None, 3, 1), (2, 2, 2), (1, 100, None), (None, None, None)])
def test_no_cell_is_lost_or_doubled_in_a_stream(sizes):
    members = dict(a=member_of('fcn'), b=member_of('wide', 1))
    model = MODELS.build(dict(
        type='mmcascade.CascadeSegmentor', members=members, grid=dict(cell=32), confidence=dict(t_unk=None),
        policy=dict(type='mmcascade.RandomPolicy', rates=[0.7, 0.6]),
        stages=[dict(member='a'), dict(member='b'), dict(member='b', on='image')]))
    expected = [facts(s) for data in some_batches() for s in run(model, data)]
    for stage, size in zip(model.stages, sizes, strict=True):
        stage.batch_size = size
    kept, found, seen = KeptBatches(), [], []
    counter = FlopCounterMode(display=False)
    with counter, model.router.stream() as stream:
        def take(outcomes):
            seen.extend(t for o in outcomes for t in o.ticket.tolist())
            for ready, outcome in kept.finish(outcomes):
                model.write_results(outcome, ready.samples)
                found.extend(ready.samples)

        for index, data in enumerate(some_batches()):
            sources, units, samples = model.unpack(data)
            kept.keep(index, data, samples, model.units_per_sample(sources))
            for source, numbers in zip(sources, units, strict=True):
                stream.enqueue(source, numbers)
            take(stream.run())
        take(stream.flush())
        assert stream.waiting == stream.waiting_bytes == 0
    assert sorted(seen) == list(range(len(seen))) and len(seen) == sum(len(x['exits']) for x in expected)
    macs = sum(s.macs for s in found)
    assert macs == pytest.approx(counter.get_total_flops() / 2)
    if sizes[1] in (None, 100) and sizes[2] is None:
        assert macs == pytest.approx(sum(x['macs'] for x in expected))
    for one, other in zip([facts(s) for s in found], expected, strict=True):
        assert one['exits'] == other['exits']
        assert (one['labels'] == other['labels']).float().mean() > 0.9995


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
    found, = run(cascade(a, b, nobody, confidence_map=True), batch())
    assert found.cells.exit_stages.tolist() == [1, 0, 0, 0, 0, 0]
    assert found.nonfinite_cells == 0
    assert found.cells.confidence.isfinite().all()
    # Only the second member counts where the first gave nothing.
    second = fuse([scores_of(b, batch()['inputs'][0][:, :32, :32])[0]], 'prob')
    assert_same_labels(found.pred_sem_seg.data[0, :32, :32], second)

    closed, = run(cascade(a, b, CLOSED, confidence_map=True), batch())
    assert closed.cells.exit_stages.tolist() == [0] * 6
    assert closed.nonfinite_cells == 1
    assert closed.cells.confidence[0] == -torch.inf and closed.cells.confidence[1:].isfinite().all()
    assert (closed.confidence_map.data[0, :32, :32] == -torch.inf).all()
    assert closed.confidence_map.data[0, 32:].isfinite().all()

    lost, = run(cascade(a, broken('wide', (2, 2), 1), nobody, seg_logits=True), batch())
    assert lost.nonfinite_cells == 1 and lost.cells.exit_stages.tolist() == [1, 0, 0, 0, 0, 0]
    assert lost.cells.confidence[0] == -torch.inf
    torch.testing.assert_close(lost.seg_logits.data[:, :32, :32].exp(), torch.full((CLASSES, 32, 32), 1 / CLASSES))


@pytest.mark.parametrize('policy', [window((None, None)), window((1e9, None)), CLOSED,
                                    dict(type='mmcascade.RandomPolicy', rates=[0.0]),
                                    dict(type='mmcascade.RandomPolicy', rates=[1.0])])
@pytest.mark.parametrize('empty', ['go_on', 'exit'])
def test_cells_of_which_no_pixel_counts(policy, empty):
    model = cascade('fcn', 'wide', policy, confidence=dict(t_unk=0.99999, empty=empty))
    found, = run(model, batch())
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
            sources, units, _ = model.unpack(data)
            stream.enqueue(sources[0], units[0])
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
            bboxes=(torch.int64, (6, 4)), confidence=(torch.float32, (6,)), exit_stages=(torch.int64, (6,)),
            macs=(torch.float64, (6,)))
        assert len(one.cells) == 6 and len(one.cells[one.cells.exit_stages == 0]) < 6
        assert isinstance(one.macs, float) and isinstance(one.mean_exit_stage, float)
        assert one.reached[0] == 1.0 and len(one.reached) == 2 and one.num_stages == 2
        assert one.nonfinite_cells == 0 and 'num_stages' in one.metainfo
        covered = torch.zeros(50, 80)
        for left, top, right, bottom in one.cells.bboxes.tolist():
            covered[top:bottom, left:right] += 1
        assert (covered == 1).all()
    bare, = run(cascade('fcn', 'wide'), batch())
    assert 'seg_logits' not in bare and 'confidence_map' not in bare
    assert bare.to_dict()['cells']['bboxes'].shape == (6, 4)


def test_one_sample_does_not_drag_a_batch_along():
    found = run(cascade('fcn', 'wide', confidence_map=True, seg_logits=True), batch(3))
    tensors = [*(getattr(found[1], name).data for name in ('pred_sem_seg', 'confidence_map', 'seg_logits')),
               *found[1].cells.values()]
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
    model = MODELS.build(ConfigDict(
        type='mmcascade.CascadeSegmentor', members=specs, stages=[dict(member='a'), dict(member='b')],
        grid=dict(cell=32), policy=OPEN, data_preprocessor=dict(type='SegDataPreProcessor'), train_cfg=None,
        test_cfg=dict(mode='whole'),
        confidence=dict(type='mmcascade.CellConfidence', reduce=dict(type='mmcascade.QuantileReducer', q=0.1))))
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
    classes = model.stages[1]._module.num_classes
    with torch.no_grad(), Largest() as largest:
        output = model.stages[1](some)
    assert output.values.shape == (3, classes, 32, 32)
    assert largest.elements <= max(3 * max(classes, 32) * 40 * 40, tile.pixels.numel())
    whole = UnitBatch.submitted(tile, np.arange(20), 0)
    with torch.no_grad(), Largest() as largest:
        model.stages[0](whole)
    assert largest.elements <= max(classes, 16) * 128 * 160  # the stem of the network has as many


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
            sources, units, _ = model.unpack(data)
            for source, numbers in zip(sources, units, strict=True):
                stream.enqueue(source, numbers)
            del source, sources, data
            finished = stream.run()
            for outcome in finished:
                assert set(outcome.results) == {'labels'} and outcome.results['labels'].dtype == torch.uint8
        assert alive and not any(ref() is not None for ref in alive)
        cell = 32 * 32
        images = 11 * 3 * 70 * 101
        assert 0 < stream.waiting < 66
        assert stream.waiting_bytes <= stream.waiting * (cell * (4 * CLASSES + 1) + 8) + images
        assert all(batch.state.total.untyped_storage().nbytes() == len(batch) * cell * 4 * CLASSES
                   for queue in stream._queues for batch in queue)
        stream.flush()
    assert not any(ref() is not None for ref in alive)


def classifier():
    from mmpretrain.registry import MODELS as CLASSIFIERS

    from tests.tiny_models import TINY as CLASSIFIER_CONFIGS
    return CLASSIFIERS.build(ConfigDict(CLASSIFIER_CONFIGS['resnet']))


def named(kind, tmp_path, seed=0, **meta):
    """The spec of a member whose checkpoint knows classes or colours."""
    path = tmp_path / f'{seed}.pth'
    torch.save(dict(state_dict=member_of(kind, seed).state_dict(), meta=dict(dataset_meta=meta)), path)
    return dict(model=dict(_scope_='mmseg', **TINY[kind]), checkpoint=str(path))


BAD = [
    (dict(cell=0), 'cell is the side of a square.*got 0'),
    (dict(cell=-32), 'got -32'),
    (dict(cell=32.0), r'got 32\.0'),
    (dict(cell=True), 'got True'),
    (dict(cell=(32, 0)), r'got \(32, 0\)'),
    (dict(cell=[32, 32, 32]), 'whole pixels from 1, or None'),
    (dict(cell='32'), "got '32'"),
    (dict(margin=-1), 'margin is the context around a crop in whole pixels from 0, got -1'),
    (dict(margin=1.5), r'margin.*got 1\.5'),
    (dict(margin=33), 'a margin of 33 pixels around cells of 32 x 32.*margin= smaller'),
    (dict(cell=None, margin=4), 'nothing around it; leave margin=4 out'),
    (dict(cell=4), "a cell of 4 x 4 pixels at scale 1 is smaller than the stride 8.*member 'b' in stage 1"),
    (dict(stages=[dict(member='a'), dict(member='b', scale=0.125)]), 'at scale 0.125 is smaller than the stride 8'),
    (dict(b='few'), r"'a' \(5 classes\) and 'b' \(3 classes\) cannot share a cascade"),
    (dict(b='binary'), "member 'b'.*single sigmoid output; train it with num_classes=2 and out_channels=2"),
    (dict(b='fixed'), "member 'b' fails on crops of 32 x 32 pixels.*fixed size.*on='image'"),
    (dict(stages=[dict(member='a', on='cell'), dict(member='b')]), "stage 0 labels the whole image.*on='cell'"),
    (dict(stages=[dict(member='a'), dict(member='b', on='cells')]), "on of stage 1 is one of.*got 'cells'"),
    (dict(stages=[dict(member='a'), dict(member='b', on=['cell'])]), r"on of stage 1 is one of.*got \['cell'\]"),
    (dict(stages=[dict(member='a'), dict(member='b', scale=0)]), 'scale of stage 1 is a factor > 0, at most 8, got 0'),
    (dict(stages=[dict(member='a'), dict(member='b', scale=float('nan'))]), 'scale of stage 1.*got nan'),
    (dict(stages=[dict(member='a'), dict(member='b', margin=4)]), "stage 1 has the unknown key 'margin'"),
    (dict(stages=[dict(member='a'), dict(member='c')]), r"stage 1 names member 'c'; expected one of \['a', 'b'\]"),
    (dict(stages=[]), 'at least one stage'),
    (dict(confidence=dict(type='mmcascade.CellConfidence', t_unk=2)), 't_unk is a probability'),
    (dict(confidence='msp'), "unknown confidence 'msp'"),
    (dict(fusion='mean'), "unknown fusion 'mean'"),
    (dict(policy=window(None, None)), '2 stages have 1 gaps'),
]


@pytest.mark.parametrize('options, message', BAD, ids=lambda x: str(x)[:60])
def test_bad_configs(options, message):
    with pytest.raises(ValueError, match=message):
        cascade(**(dict(a='fcn', b='wide') | options))


def test_bad_members(tmp_path):
    with pytest.raises(ValueError, match="member 'b'.*ImageClassifier labels no pixels.*EncoderDecoder"):
        cascade('fcn', classifier())
    with pytest.raises(ValueError, match="'a' and 'b' name class 1 differently: 'b' and 'x'"):
        cascade(named('fcn', tmp_path, classes=tuple('abcde')), named('fcn', tmp_path, 1, classes=tuple('axcde')))
    with pytest.raises(ValueError, match="'a' and 'b' were trained with different palettes"):
        cascade(named('fcn', tmp_path, palette=[[k, 0, 0] for k in range(5)]),
                named('fcn', tmp_path, 1, palette=[[0, k, 0] for k in range(5)]))
    model = cascade(named('fcn', tmp_path, classes=tuple('abcde'), palette=[[k, 0, 0] for k in range(5)]), 'wide')
    assert model.dataset_meta['classes'] == tuple('abcde') and len(model.dataset_meta['palette']) == 5
    with pytest.raises(ValueError, match="grid is a dict with cell= and margin=, got {'size': 32}"):
        MODELS.build(dict(type='mmcascade.CascadeSegmentor', members=dict(a=member_of('fcn')),
                          stages=[dict(member='a')], grid=dict(size=32)))
    with pytest.raises(TypeError, match='confidence is a name such as'):
        cascade('fcn', 'wide', confidence=0.5)


def test_a_member_of_fixed_size_may_run_on_images():
    model = cascade('fcn', 'fixed', stages=[dict(member='a'), dict(member='b', on='image')])
    assert run(model, batch())[0].mean_exit_stage == 1
    with pytest.raises(ValueError, match="member 'b' fails on images of 64 x 128 pixels.*change scale="):
        run(model, batch(1, 64, 128))


def test_bad_batches():
    model = cascade('fcn', 'wide')
    mixed = dict(inputs=[image(), image(70, 101)], data_samples=[sample(), sample(70, 101)])
    with pytest.raises(ValueError, match=r'different sizes \[\(64, 96\), \(70, 101\)\].*use batch_size=1'):
        run(model, mixed)
    data = batch(2)
    data['data_samples'][0].set_metainfo(dict(ori_shape=(50, 80)))
    with pytest.raises(ValueError, match=r'different sizes.*originally \[\(50, 80\), \(64, 96\)\]'):
        run(model, data)
    with pytest.raises(ValueError, match='a cell of 32 x 32 pixels is larger than the image of 20 x 96.*cell= smaller'):
        run(model, batch(1, 20, 96))
    with pytest.raises(ValueError, match="mirrored 'diagonal'.*'horizontal' and 'vertical' only"):
        run(model, batch(flip='diagonal'))
    with pytest.raises(RuntimeError, match='this cascade of 2 stages has no exit policy.*1 window'):
        run(cascade('fcn', 'wide', policy=None), batch())
    assert run(model, batch()), 'nothing stays behind after an error'
