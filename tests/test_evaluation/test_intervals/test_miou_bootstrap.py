# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from mmcascade.evaluation.curves.intervals.miou_bootstrap import miou, miou_difference, miou_interval


def make_areas(n=60, classes=5, quality=0.7, seed=0):
    """Areas of images that share their difficulty, so that systems on them are alike."""
    rng = np.random.default_rng(seed)
    union = rng.integers(1, 2000, (n, classes)) * (rng.random((n, classes)) < 0.6)
    share = np.clip(quality - 0.5 * rng.random((n, 1)), 0, 1)
    return np.floor(union * share).astype(int), union


def slow_miou(intersect, union, images):
    ratios = []
    for label in range(intersect.shape[1]):
        total = sum(int(union[i, label]) for i in images)
        if total:
            ratios.append(sum(int(intersect[i, label]) for i in images) / total)
    return sum(ratios) / len(ratios) if ratios else math.nan


def test_against_sums_by_hand():
    areas = make_areas()
    assert miou(*areas) == pytest.approx(slow_miou(*areas, range(60)), rel=1e-12)


def test_against_iou_metric():
    metric = pytest.importorskip('mmseg.evaluation').IoUMetric
    intersect, union = make_areas()
    union[:, 3] = intersect[:, 3] = 0  # a class that does not occur
    # Whatever is not in the intersection was annotated and not predicted.
    sums = [torch.as_tensor(area.sum(0)).float() for area in (intersect, union, intersect, union)]
    theirs = np.nanmean(metric.total_area_to_metrics(*sums)['IoU'])
    assert miou(intersect, union) == pytest.approx(theirs, rel=1e-6)


def test_interval_draws_images():
    areas = make_areas()
    interval = miou_interval(*areas, repeats=50, seed=4)
    generator = np.random.default_rng(4)
    draws = [slow_miou(*areas, generator.integers(60, size=60)) for _ in range(50)]
    assert interval.estimate == pytest.approx(miou(*areas), rel=1e-12)
    assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), rel=1e-12)


def test_interval_against_scipy():
    areas = make_areas()
    theirs = stats.bootstrap(
        (np.arange(60),),
        lambda i: miou(areas[0][i], areas[1][i]),
        n_resamples=2000,
        method='percentile',
        vectorized=False,
        rng=1,
    ).confidence_interval
    ours = miou_interval(*areas, repeats=2000)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.004)


def test_difference_is_paired():
    first, second = make_areas(quality=0.72), make_areas(quality=0.70)
    difference = miou_difference(first, second, repeats=300)
    assert difference.estimate == pytest.approx(miou(*first) - miou(*second), abs=1e-12)
    assert difference.low > 0.015  # the images are equally hard for both
    alone = [miou_interval(*areas, repeats=300) for areas in (first, second)]
    assert difference.high - difference.low < 0.2 * min(one.high - one.low for one in alone)
    backwards = miou_difference(second, first, repeats=300)
    assert (backwards.low, backwards.high) == pytest.approx((-difference.high, -difference.low))
    same = miou_difference(first, first, repeats=10)
    assert (same.estimate, same.low, same.high) == (0, 0, 0)


def test_many_images_cover_the_truth():
    # Of all images, a sample's interval should hold the mean IoU about 95 times in 100.
    everything = make_areas(4000, seed=1)
    truth = miou(*everything)
    rng = np.random.default_rng(2)
    held = 0
    for seed in range(100):
        chosen = rng.choice(4000, 80, replace=False)
        interval = miou_interval(everything[0][chosen], everything[1][chosen], repeats=200, seed=seed)
        held += interval.low <= truth <= interval.high
    assert 85 <= held <= 100


def test_nothing_annotated():
    zeros = np.zeros((3, 2))
    assert math.isnan(miou(zeros, zeros))
    with pytest.raises(ValueError, match='NaN for every draw'):
        miou_interval(zeros, zeros)


@pytest.mark.parametrize(
    ('intersect', 'union', 'message'),
    [
        ([1, 2], [2, 2], r'must be \(images, classes\), got \(2,\) and \(2,\)'),
        ([[1, 2]], [[2]], r'got \(1, 2\) and \(1, 1\)'),
        (np.zeros((0, 2)), np.zeros((0, 2)), r'got \(0, 2\)'),
        ([[1, 1], [1, 3]], [[2, 2], [2, 2]], 'got 3 of 2 for image 1 and class 1'),
        ([[-1]], [[2]], 'between 0 and its union, got -1'),
        ([[math.nan]], [[2]], 'got nan of 2'),
    ],
)
def test_bad_areas_are_named(intersect, union, message):
    for function in (miou, miou_interval, lambda a, b: miou_difference((a, b), (a, b))):
        with pytest.raises(ValueError, match=message):
            function(intersect, union)


def test_other_images_are_refused():
    with pytest.raises(ValueError, match=r'the same images and classes, got areas of \(60, 5\) and \(50, 5\)'):
        miou_difference(make_areas(), make_areas(50))
