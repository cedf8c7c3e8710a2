# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A deferred test gives what the plain loop gives, in the same order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.hooks import Hook
from mmpretrain.structures import DataSample

from mmcascade.engine.loops.deferred_test_loop import DeferredTestLoop, needs_inputs, without_inputs
from mmcascade.engine.loops.kept_batches import KeptBatches
from mmcascade.routing import CachedStage, CascadeRouter, Outcome, WindowPolicy
from tests.test_engine.deferred_runs import DEFERRED, run, watched

IMAGES, BATCH = 13, 4


class Counter(Hook):
    """Notes which hook points were called with what."""

    def __init__(self):
        self.calls = []

    def before_test_iter(self, runner, batch_idx, data_batch=None):
        self.calls.append(('before', batch_idx))

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.calls.append(('after', batch_idx, [s.sample_idx for s in outputs], data_batch))

    def needs_inputs(self, samples):
        return False


def fields(sample):
    return {
        key: float(sample[key])
        for key in ('confidence', 'exit_stage', 'macs', 'accepted', 'sample_idx', 'gt_label', 'pred_label')
    }


@pytest.fixture(scope='module')
def plain(make_runner):
    return run(make_runner())


@pytest.mark.parametrize('sizes', [(None, None), (3, 5), (1, 100), (7, 2)])
def test_equals_the_plain_loop(make_runner, plain, sizes):
    runner = make_runner(DEFERRED)
    for stage, size in zip(runner.model.stages, sizes, strict=True):
        stage.batch_size = size
    metrics, calls = run(runner)
    assert metrics == pytest.approx(plain[0], nan_ok=True)
    assert 0 < metrics['cost/reached@stage1'] < 100
    assert len(calls) == len(plain[1]) == 4
    for (batch, samples), (expected_batch, expected) in zip(calls, plain[1], strict=True):
        assert [s['sample_idx'] for s in samples] == [s['sample_idx'] for s in expected]
        assert batch['data_samples'] is not None and 'inputs' not in batch and 'inputs' in expected_batch
        for one, other in zip(samples, expected, strict=True):
            assert fields(one) == pytest.approx(fields(other), abs=1e-6)
            torch.testing.assert_close(one['pred_score'], other['pred_score'])


def test_later_stages_wait_for_the_loaders_batch_size(make_runner):
    runner = make_runner(DEFERRED)
    sizes = [[], []]
    for seen, stage in zip(sizes, runner.model.stages, strict=True):
        stage.forward = watched(stage.forward, seen)
    metrics, _ = run(runner)
    reached = round(metrics['cost/reached@stage1'] / 100 * IMAGES)
    assert sizes[0] == [4, 4, 4, 1]
    assert sizes[1] == [4] * (reached // 4) + [reached % 4] * (reached % 4 > 0)


def test_hooks_see_every_batch_once_and_in_order(make_runner):
    runner = make_runner(DEFERRED)
    hook = Counter()
    runner.register_hook(hook)
    runner.model.stages[1].batch_size = 100  # everything waits for the end
    runner.test()
    assert [c[1] for c in hook.calls if c[0] == 'before'] == [0, 1, 2, 3]
    after = [c for c in hook.calls if c[0] == 'after']
    assert [c[1] for c in after] == [0, 1, 2, 3]
    assert sum((c[2] for c in after), []) == list(range(IMAGES))
    assert all('inputs' not in c[3] for c in after)


def test_images_are_kept_for_hooks_that_may_need_them():
    samples = [DataSample(metainfo=dict(img_path='a.png'))]

    class Unknown(Hook):
        def after_test_iter(self, *args, **kwargs):
            pass

    class Silent(Hook):
        def before_test_iter(self, *args, **kwargs):
            pass

    from mmengine.hooks import IterTimerHook, LoggerHook
    from mmpretrain.engine.hooks import VisualizationHook

    from mmcascade.engine.hooks import CascadeVisualizationHook

    assert needs_inputs(Unknown(), samples)
    assert not needs_inputs(Silent(), samples)
    assert not needs_inputs(IterTimerHook(), samples)
    assert not needs_inputs(LoggerHook(), samples)
    assert not needs_inputs(CascadeVisualizationHook(enable=True), samples)
    assert needs_inputs(CascadeVisualizationHook(enable=True), [DataSample()])
    assert not needs_inputs(CascadeVisualizationHook(), [DataSample()])
    off = VisualizationHook.__new__(VisualizationHook)
    off.enable = False
    assert not needs_inputs(off, samples)
    off.enable = True
    assert needs_inputs(off, samples)
    assert without_inputs(['images', samples]) == [None, samples]


def test_inputs_are_kept_on_demand(make_runner):
    _, calls = run(make_runner(dict(DEFERRED, keep_inputs=True)))
    assert [len(batch['inputs'][0]) for batch, _ in calls] == [4, 4, 4, 1]


def test_half_precision_covers_the_flush(make_runner):
    runner = make_runner(dict(DEFERRED, fp16=True))
    stage, seen = runner.model.stages[1], []
    forward = stage.forward

    def call(images):
        seen.append((torch.is_autocast_enabled('cpu'), torch.is_grad_enabled()))
        return forward(images)

    stage.forward, stage.batch_size = call, 100
    runner.test()
    assert seen == [(True, False)]


@pytest.mark.slow
def test_two_processes_count_every_image_once(project, plain, metrics_of_two_processes):
    metrics = metrics_of_two_processes(
        project, 'test_cfg.type=mmcascade.DeferredTestLoop', 'model.stages.1.batch_size=5'
    )
    for key, value in ((key, value) for key, value in plain[0].items() if key != 'count'):
        assert metrics[key] == pytest.approx(value, abs=1e-4), key


@settings(max_examples=60)
@given(st.data())
def test_any_batching_gives_whole_batches_in_order(data):
    """Random batches, batch sizes and windows over cached stages, against one batch of everything."""
    counts = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=8))
    stages = data.draw(st.integers(1, 4))
    units = sum(counts)
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    logits = [torch.randn(units, 5, generator=generator) * 2 for _ in range(stages)]
    sizes = data.draw(st.lists(st.one_of(st.none(), st.integers(1, 12)), min_size=stages, max_size=stages))
    windows = [(0.3, data.draw(st.sampled_from([0.3, 0.5, 0.9, 1.0]))) for _ in range(stages - 1)]
    router = CascadeRouter(
        [CachedStage(z, batch_size=b, macs=1.0) for z, b in zip(logits, sizes, strict=True)], WindowPolicy(windows)
    )
    expected = CascadeRouter([CachedStage(z, macs=1.0) for z in logits], WindowPolicy(windows)).route([], range(units))
    kept, reported, start = KeptBatches(), [], 0
    with router.stream(wait_for=data.draw(st.one_of(st.none(), st.integers(1, 12)))) as stream:
        for index, count in enumerate(counts):
            kept.keep(index, None, [DataSample() for _ in range(count)], [1] * count)
            reported += kept.finish(stream.submit([], range(start, start + count)))
            start += count
            assert kept.images == units - sum(counts[index + 1 :]) - sum(len(o) for _, o in reported)
        reported += kept.finish(stream.flush())
    assert [batch.index for batch, _ in reported] == list(range(len(counts)))
    assert [len(outcome) for _, outcome in reported] == counts
    assert kept.images == kept.nbytes == 0
    outcome = Outcome.cat([outcome for _, outcome in reported])
    for name in ('unit', 'exit_stage', 'macs', 'probs', 'confidence'):
        np.testing.assert_array_equal(getattr(outcome, name), getattr(expected, name))


def test_is_registered():
    from mmengine.registry import LOOPS

    assert LOOPS.get('mmcascade.DeferredTestLoop') is DeferredTestLoop
