# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""All metrics of a segmentation cascade in one evaluator, beside MMSegmentation's own."""

from __future__ import annotations

import re

import numpy as np
import pytest

pytest.importorskip('mmseg.models')

from mmengine.evaluator import Evaluator  # noqa: E402
from mmengine.registry import DefaultScope  # noqa: E402
from mmseg.structures import SegDataSample  # noqa: E402

from tests.test_evaluation.pixel_samples import CLASSES, IGNORE, make_sample, units  # noqa: E402

OURS = [dict(type=f'mmcascade.{name}') for name in ('PixelSelective', 'DeferredPixels', 'CascadeCost')]


def evaluate(metrics, samples):
    with DefaultScope.overwrite_default_scope('mmseg'):
        evaluator = Evaluator(metrics)
    evaluator.dataset_meta = dict(classes=CLASSES)
    for sample in samples:
        evaluator.process([sample])
    return evaluator.evaluate(len(samples))


@pytest.fixture
def samples():
    return [make_sample(seed, kind=SegDataSample) for seed in range(4)]


def test_four_metrics_side_by_side(samples):
    iou = dict(type='IoUMetric', iou_metrics=['mIoU'])
    values = evaluate([iou, *OURS], samples)
    alone = [evaluate([metric], samples) for metric in [iou, *OURS]]
    assert values == {key: value for found in alone for key, value in found.items()}
    assert {
        'mIoU',
        'aAcc',
        'pixel/aurc',
        'pixel/coverage@risk5',
        'deferred/traffic light',
        'deferred/all',
        'cost/macs',
        'cost/reached@stage1',
        'cost/nonfinite',
    } <= set(values)
    # The same pixels count: accepting all of them leaves the error rate.
    _, error = units(samples)
    everything = evaluate([dict(type='mmcascade.PixelSelective', coverages=(1.0,))], samples)
    assert 100 - everything['pixel/risk@coverage100'] == pytest.approx(values['aAcc'], abs=0.006)  # which is rounded
    assert everything['pixel/risk@coverage100'] == pytest.approx(100 * error.mean())


def test_the_table_prints_the_iou_of_iou_metric(samples, monkeypatch):
    lines = []
    for module in ('mmcascade.evaluation.metrics.deferred_pixels', 'mmseg.evaluation.metrics.iou_metric'):
        monkeypatch.setattr(f'{module}.print_log', lambda line, logger=None: lines.append(line))
    evaluate([dict(type='IoUMetric'), OURS[1]], samples)
    theirs, ours = (next(line for line in lines if mark in line) for mark in ('IoU  |', 'deferred'))
    for name in CLASSES:
        printed = [
            next(row for row in table.splitlines() if row.strip('| ').startswith(f'{name} '))
            for table in (theirs, ours)
        ]
        first, second = (re.split(r'\s*\|\s*|\s{2,}', row.strip('| '))[1] for row in printed)
        assert float(first) == pytest.approx(float(second), abs=0.01)


def test_cost_by_area(samples):
    values = evaluate([OURS[2]], samples)
    areas = []
    for sample in samples:
        boxes = sample.cells.bboxes.numpy()
        sizes = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        areas.append(sizes[sample.cells.exit_stages.numpy() >= 1].sum() / sizes.sum())
    assert values == pytest.approx({'cost/macs': 2.5, 'cost/reached@stage1': 100 * np.mean(areas), 'cost/nonfinite': 2})


def test_an_image_without_annotation(samples):
    blank = make_sample(9, annotated=False, kind=SegDataSample)
    values, before = evaluate(OURS, [samples[0], blank, *samples[1:]]), evaluate(OURS, samples)
    judged = [key for key in values if not key.startswith('cost/')]
    assert len(judged) == 6 + len(CLASSES) + 1
    assert {key: values[key] for key in judged} == {key: before[key] for key in judged}
    assert values['cost/macs'] == pytest.approx((10 + 4 * 2.5) / 5)  # cost is of all images


def test_everything_ignored_next_to_ordinary_images(samples):
    samples[0].gt_sem_seg.data[:] = IGNORE
    both = evaluate(OURS[:2], samples)
    assert both == evaluate(OURS[:2], samples[1:])
