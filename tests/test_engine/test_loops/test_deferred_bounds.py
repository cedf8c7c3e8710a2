# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a deferred test keeps is bounded, and a failure leaves nothing behind."""

from __future__ import annotations

import re

import pytest
from torch import nn

from tests.test_engine.deferred_runs import DEFERRED, Recorder, run, watched


@pytest.mark.parametrize('bound', [dict(max_waiting=5), dict(max_bytes=5 * 3 * 40 * 40, keep_inputs=True)])
def test_bounds_run_what_waits(make_runner, bound):
    runner = make_runner(dict(DEFERRED, **bound))
    sizes = []
    stage = runner.model.stages[1]
    stage.forward, stage.batch_size = watched(stage.forward, sizes), 5
    _, calls = run(runner)
    assert [len(samples) for _, samples in calls] == [4, 4, 4, 1]
    assert sum(sizes) == 5 and max(sizes) < 5
    runner.test_loop.max_waiting, runner.test_loop.max_bytes = 1000, 2**30
    sizes.clear()
    runner.test_loop.run()
    assert sizes == [5]


def test_bounds_below_a_batch_are_refused(make_runner):
    with pytest.raises(ValueError, match='max_waiting=3 is less than one batch of 4 images of stage 0'):
        make_runner(dict(DEFERRED, max_waiting=3)).test_loop  # noqa: B018
    with pytest.raises(ValueError, match='max_bytes of DeferredTestLoop is a whole number >= 1, got 0'):
        make_runner(dict(DEFERRED, max_bytes=0)).test_loop  # noqa: B018
    with pytest.raises(ValueError, match='max_bytes=1000 is less than the 12288 bytes of one batch of 4 images'):
        make_runner(dict(DEFERRED, max_bytes=1000)).test()


@pytest.mark.parametrize(
    'bound', [dict(max_waiting=True), dict(max_bytes=1e9), dict(max_waiting=-1), dict(max_bytes='big')]
)
def test_bounds_are_whole_numbers(make_runner, bound):
    ((name, value),) = bound.items()
    with pytest.raises(ValueError, match=f'{name} of DeferredTestLoop is a whole number >= 1, got {value!r}'):
        make_runner(dict(DEFERRED, **bound)).test_loop  # noqa: B018


def test_a_missing_view_is_named(make_runner):
    runner = make_runner(DEFERRED)
    runner.model.stages[1].view, runner.model.stages[1].views = 2, (2,)
    with pytest.raises(ValueError, match=r'stage 1 reads view 2, but the pipeline makes 2 view\(s\)'):
        runner.test()


def test_other_models_are_refused(make_runner):
    runner = make_runner(DEFERRED)
    runner.model = nn.Identity()
    with pytest.raises(TypeError, match='Identity is no cascade'):
        runner.test_loop  # noqa: B018


@pytest.mark.parametrize('error', [ZeroDivisionError, KeyboardInterrupt])
def test_a_failure_leaves_no_metrics(make_runner, error):
    runner = make_runner(DEFERRED)

    def fail(images):
        raise error('in the member')

    runner.model.stages[1].forward = fail
    recorder = Recorder()
    runner.test_loop.evaluator.metrics.append(recorder)
    with pytest.raises(RuntimeError if error is ZeroDivisionError else error) as caught:
        runner.test()
    assert recorder.results == []
    assert all(not metric.results for metric in runner.test_loop.evaluator.metrics)
    if error is ZeroDivisionError:
        message = str(caught.value)
        assert re.match(r'stage 1 failed on a batch of \d+ image\(s\): .*\d\d\d\.png', message)
        named = re.findall(r'(\d{3})\.png', message)
        assert len(named) == int(re.search(r'batch of (\d+)', message)[1])
        assert isinstance(caught.value.__cause__, error)
