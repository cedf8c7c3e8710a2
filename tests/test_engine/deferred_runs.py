# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Runs of the deferred loop and of the plain one."""

from __future__ import annotations

from mmengine.evaluator import BaseMetric


class Recorder(BaseMetric):
    """Keeps every call, to be compared."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def process(self, data_batch, data_samples):
        self.calls.append((data_batch, data_samples))
        self.results += [0] * len(data_samples)

    def compute_metrics(self, results):
        return dict(count=len(results))


DEFERRED = dict(type='mmcascade.DeferredTestLoop')


def run(runner):
    """Metrics, and what the metrics were called with."""
    recorder = Recorder()
    runner.test_loop.evaluator.metrics.append(recorder)
    return runner.test(), recorder.calls


def watched(forward, seen):
    def call(images):
        seen.append(len(images))
        return forward(images)

    return call
