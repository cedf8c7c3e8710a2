# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""CascadeSegmentor: how images come in batches and wait changes nothing."""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.runner import Runner
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from mmcascade.engine.loops.kept_batches import KeptBatches
from mmcascade.models.cells.crops import Crops
from mmcascade.models.cells.grid import Grid
from mmcascade.models.stages import segmentor_stage
from tests.support.members.tiny_segmentors import batch
from tests.test_models.segmentor_cascades import assert_same_facts, cascade, facts, run, some_batches, window


@functools.cache
def deferring():
    """A cascade in which some cells go on, and what it gives one image at a time."""
    model = cascade('fcn', 'wide', margin=4, stages=[dict(member='a'), dict(member='b')], policy=window((None, 0.72)))
    expected = one_by_one(model)
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


@pytest.mark.parametrize(
    'sizes, options',
    [((None, None), {}), ((2, 5), {}), ((3, 100), {}), ((1, 1), {}), ((None, 7), dict(max_waiting=7)), (None, None)],
)
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
    monkeypatch.setattr(segmentor_stage, 'crops_at_once', lambda crops, device, images: 6)
    samples = run_loop(model, dict(batch_size=1), {}, tmp_path)
    assert_same_facts([facts(s) for s in samples], expected)
    assert sum(seen) == sum(sum(x['exits']) for x in expected)
    # Five kinds of images, of which each may leave a rest.
    assert sum(size < 6 for size in seen) <= 5 and set(seen) <= set(range(1, 7))


@pytest.mark.parametrize('margin', [0, 8])
@pytest.mark.parametrize('given', [None, 5])
def test_crops_without_a_batch_size_have_fewer_pixels_than_the_image(monkeypatch, margin, given):
    model = cascade('fcn', 'wide', margin=margin, cell=16)
    expected = [facts(s) for s in run(model, batch(2))]
    stage, seen = model.stages[1], []
    stage.batch_size = given
    forward = stage.forward
    monkeypatch.setattr(stage, 'forward', lambda images: seen.append(tuple(images.shape)) or forward(images))
    assert_same_facts([facts(s) for s in run(model, batch(2))], expected)
    side = 16 + 2 * margin
    most = 64 * 96 // (2 * side * side) if given is None else given
    assert {shape[2:] for shape in seen} == {(side, side)} and sum(shape[0] for shape in seen) == 48
    assert max(shape[0] for shape in seen) == most and len(seen) == math.ceil(48 / most)


def test_crops_on_a_device_have_as_many_pixels_as_their_images():
    crops = Crops(Grid((1024, 2048), (512, 512)), (1024, 2048), margin=64)
    assert [segmentor_stage.crops_at_once(crops, torch.device('cpu'), images) for images in (1, 4)] == [2, 2]
    assert [segmentor_stage.crops_at_once(crops, torch.device('cuda'), images) for images in (1, 4)] == [5, 20]
    small = Crops(Grid((20, 20), (512, 512)), (20, 20), margin=64)
    assert segmentor_stage.crops_at_once(small, torch.device('cpu'), 1) == 1


def of_three_stages(on):
    """A cascade whose second stage runs on cells or images, and whose third on images; who goes on is drawn."""
    stages = [dict(member='a'), dict(member='b', on=on), dict(member='b', on='image')]
    policy = dict(type='mmcascade.RandomPolicy', rates=[0.7, 0.6])
    return cascade('fcn', 'wide', policy, stages=stages, confidence=dict(t_unk=None))


@pytest.mark.parametrize('on', ['cell', 'image'])
def test_an_image_runs_once_in_a_later_stage_on_images(tmp_path, monkeypatch, on):
    """It waits for those of its cells that are still elsewhere, and in batches of images, not of cells."""
    model = of_three_stages(on)
    expected = [facts(s) for data in some_batches() for s in run(model, data)]
    seen, forward = [], model.stages[2].forward
    monkeypatch.setattr(model.stages[2], 'forward', lambda images: seen.append(len(images)) or forward(images))
    samples = run_loop(model, dict(batch_size=1), {}, tmp_path)
    assert_same_facts([facts(s) for s in samples], expected)
    assert sum(seen) == sum(2 in x['exits'] for x in expected) > 3
    assert set(seen) == {1}, 'the loader gives one image at a time'


def run_loop(model, loader, deferred, tmp_path, batches=None):
    """The data samples that metrics get."""
    images = [
        dict(inputs=x, data_samples=s)
        for data in batches or some_batches()
        for x, s in zip(data['inputs'], data['data_samples'], strict=True)
    ]
    recorder = Recorder()
    runner = Runner(
        model,
        str(tmp_path),
        test_dataloader=DataLoader(Images(images), collate_fn=pseudo_collate, **loader),
        test_cfg=dict() if deferred is None else dict(type='mmcascade.DeferredTestLoop', **deferred),
        test_evaluator=Evaluator(recorder),
        experiment_name=tmp_path.name,
        log_level='ERROR',
        default_hooks=dict.fromkeys(
            ['logger', 'timer', 'param_scheduler', 'checkpoint', 'sampler_seed', 'runtime_info']
        ),
    )
    assert runner.test() == dict(count=len(images))
    return recorder.samples


@pytest.mark.parametrize('sizes', [(None, 3, 1), (2, 2, 2), (1, 100, None), (None, None, None)])
def test_no_cell_is_lost_or_doubled_in_a_stream(sizes):
    model = of_three_stages('cell')
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
            unpacked = model.unpack(data)
            kept.keep(index, data, unpacked.samples, unpacked.counts)
            for source, numbers in unpacked.parts:
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


def one_by_one(model):
    """What a cascade says of some batches, one image at a time."""
    singles = [
        dict(inputs=[x], data_samples=[s])
        for data in some_batches()
        for x, s in zip(data['inputs'], data['data_samples'], strict=True)
    ]
    return [facts(run(model, single)[0]) for single in singles]


def assert_batches_change_nothing(model, expected, sizes, tmp_path):
    """Whole batches, and a loop that waits for full ones, say what each image alone does, at these batch sizes."""
    for stage, size in zip(model.stages, sizes, strict=True):
        stage.batch_size = size
    try:
        together = [facts(s) for data in some_batches() for s in run(model, data)]
        waiting = [facts(s) for s in run_loop(model, dict(batch_size=2), {}, tmp_path)]
    finally:
        for stage in model.stages:
            stage.batch_size = None
    assert_same_facts(together, expected)
    assert_same_facts(waiting, expected)
