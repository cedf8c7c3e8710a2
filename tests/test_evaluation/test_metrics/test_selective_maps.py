# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""SelectiveMaps beside loops over pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator

from mmcascade.evaluation.metrics import SelectiveMaps
from tests.test_evaluation.pixel_samples import IGNORE, make_sample


def samples_of(count=8, image=0.5, cell=0.5, **fields):
    """Samples as a cascade with accept thresholds writes them."""
    made = []
    for seed in range(count):
        sample = make_sample(seed, **fields)
        torch.manual_seed(seed)
        sample.cells.confidence = torch.rand(len(sample.cells))
        sample.cells.accepted = sample.cells.confidence >= cell
        sample.set_field(float(np.random.default_rng(seed).random()), 'confidence')
        sample.set_field(sample.get('confidence') >= image, 'accepted')
        made.append(sample)
    return made


def slow_pixels(sample, box):
    """Wrong and labelled pixels in a box, one by one."""
    truth, prediction = (sample.get(name).data[0] for name in ('gt_sem_seg', 'pred_sem_seg'))
    wrong = labelled = 0
    x1, y1, x2, y2 = box
    for y in range(y1, y2):
        for x in range(x1, x2):
            if int(truth[y, x]) != IGNORE:
                labelled += 1
                wrong += int(truth[y, x]) != int(prediction[y, x])
    return wrong, labelled


def slow(samples):
    """Deployed figures, and the points of both curves, in percent."""
    images, cells = [], []
    for sample in samples:
        total = np.zeros(2)
        for box, score, taken in zip(
            sample.cells.bboxes.tolist(), sample.cells.confidence.tolist(), sample.cells.accepted.tolist(), strict=True
        ):
            pixels = slow_pixels(sample, box)
            cells.append((score, taken, *pixels))
            total += pixels
        images.append((sample.get('confidence'), sample.get('accepted'), total[0] / total[1], 1))
    return images, cells


def figures(units, taken):
    lost, weight = (sum(unit[k] for unit in units if taken(unit)) for k in (2, 3))
    return 100 * weight / sum(unit[3] for unit in units), 100 * lost / weight if weight else math.nan


def test_every_key_is_what_loops_over_pixels_say():
    samples = samples_of()
    metric = SelectiveMaps(risks=(0.06, 0.08, 0.09, 0.1), coverages=(0.6,))
    metric.process({}, [sample.to_dict() for sample in samples])
    values = metric.evaluate(len(samples))
    expected = {}
    for kind, units in zip(('', 'cell_'), slow(samples), strict=True):
        deployed = figures(units, lambda unit: unit[1])
        expected |= {f'maps/deployed_{kind}coverage': deployed[0], f'maps/deployed_{kind}risk': deployed[1]}
        points = [figures(units, lambda unit, at=at: unit[0] >= at[0]) for at in units]
        for risk in (6, 8, 9, 10):
            kept = [coverage for coverage, found in points if found <= risk]
            expected[f'maps/{kind}coverage@risk{risk}'] = max(kept, default=0.0)
        expected[f'maps/{kind}risk@coverage60'] = min(point for point in points if point[0] >= 60)[1]
    assert values == pytest.approx(expected)
    assert any(0 < value < 100 for key, value in values.items() if 'cell_coverage@' in key)


def test_what_is_not_decided_is_not_printed():
    samples = samples_of()
    for sample in samples:
        del sample.accepted
    values = SelectiveMaps(prefix='s').compute_metrics([SelectiveMaps().keep(s.to_dict()) for s in samples])
    assert 'deployed_cell_risk' in values and 'deployed_risk' not in values
    none = samples_of(image=2.0, cell=2.0)
    values = SelectiveMaps().compute_metrics([SelectiveMaps().keep(s.to_dict()) for s in none])
    assert values['deployed_coverage'] == values['deployed_cell_coverage'] == 0
    assert math.isnan(values['deployed_risk']) and math.isnan(values['deployed_cell_risk'])


def test_images_without_labels_count_for_nothing_and_cells_without_pixels_are_never_accepted():
    samples = samples_of()
    evaluator = Evaluator(SelectiveMaps())
    evaluator.process([*samples, *samples_of(2, annotated=False)])
    with_more = evaluator.evaluate(10)
    evaluator.process(samples)
    assert with_more == evaluator.evaluate(8)
    samples[0].cells.confidence[:] = math.nan
    kept = SelectiveMaps().keep(samples[0].to_dict())
    assert (kept.cells[:, 0] == -math.inf).all()
    with pytest.raises(ValueError, match='SelectiveMaps got no labelled pixel from 1 images'):
        SelectiveMaps().compute_metrics([None])
    with pytest.raises(ValueError, match="has no 'confidence'; SelectiveMaps reads what a segmentation cascade writes"):
        SelectiveMaps().keep(make_sample(0).to_dict())
