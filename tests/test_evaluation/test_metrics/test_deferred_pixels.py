# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import math
import pickle
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.evaluator import Evaluator
from mmengine.structures import PixelData

from mmcascade.evaluation.metrics import DeferredPixels
from mmcascade.evaluation.metrics.deferred_pixels import class_areas, class_keys, deferred_area
from mmcascade.registry import METRICS
from tests.test_evaluation.pixel_samples import CLASSES, IGNORE, grid, make_sample, pixel_data


def evaluate(samples, classes=CLASSES, **config):
    evaluator = Evaluator(dict(type='mmcascade.DeferredPixels', **config))
    evaluator.dataset_meta = dict(classes=classes)
    evaluator.process(samples[:1])
    evaluator.process(samples[1:])
    return evaluator.evaluate(len(samples))


def slow(samples, classes=CLASSES):
    """Pixel by pixel: (deferred share, IoU) per class, and the share of all."""
    names = [*range(len(classes)), 'all']
    labelled, deferred, agreed, either = (dict.fromkeys(names, 0) for _ in range(4))
    for sample in samples:
        truth, prediction = (sample.get(name).data[0] for name in ('gt_sem_seg', 'pred_sem_seg'))
        for y in range(truth.shape[0]):
            for x in range(truth.shape[1]):
                label, guess = int(truth[y, x]), int(prediction[y, x])
                if label == IGNORE:
                    continue
                cell = [
                    i
                    for i, (x1, y1, x2, y2) in enumerate(sample.cells.bboxes.tolist())
                    if x1 <= x < x2 and y1 <= y < y2
                ]
                assert len(cell) == 1
                for name in (label, 'all'):
                    labelled[name] += 1
                    deferred[name] += int(sample.cells.exit_stages[cell[0]]) >= 1
                agreed[label] += label == guess
                for name in {label, guess}:
                    either[name] += 1
    return (
        {name: 100 * deferred[name] / labelled[name] if labelled[name] else math.nan for name in names},
        [100 * agreed[i] / either[i] if either[i] else math.nan for i in range(len(classes))],
    )


def test_shares_against_every_pixel_looked_at():
    samples = [make_sample(seed, shape=(13, 22), cell=8) for seed in range(3)]
    shares, _ = slow(samples)
    expected = {f'deferred/{name}': shares[i] for i, name in enumerate(CLASSES)} | {'deferred/all': shares['all']}
    assert evaluate(samples) == pytest.approx(expected)
    assert list(evaluate(samples)) == list(expected)
    assert len({round(value) for value in expected.values()}) > 2  # the classes differ


def test_the_log_has_a_table_of_iou_and_share(monkeypatch):
    lines = []
    monkeypatch.setattr(
        'mmcascade.evaluation.metrics.deferred_pixels.print_log', lambda line, logger: lines.append(line)
    )
    samples = [make_sample(seed, shape=(13, 22), cell=8) for seed in range(2)]
    classes = (*CLASSES, 'never [seen]')
    shares, ious = slow(samples, classes)
    evaluate(samples, classes)
    (line,) = lines
    for i, name in enumerate(classes):
        row = next(row for row in line.splitlines() if row.strip().startswith(f'{name} '))
        printed = re.split(r'\s{2,}', row.strip())
        assert printed == [name, *('n/a' if math.isnan(v) else f'{v:.2f}' for v in (ious[i], shares[i]))]


def test_a_class_without_pixels_is_nan():
    values = evaluate([make_sample()], (*CLASSES, 'train'))
    assert math.isnan(values['deferred/train'])
    assert not math.isnan(values['deferred/all'])


def test_all_and_no_cells_deferred():
    for stage, share in ((0, 0), (1, 100), (3, 100)):
        sample = make_sample()
        sample.cells.exit_stages[:] = stage
        assert set(evaluate([sample]).values()) == {share}


@settings(max_examples=10)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 12))
def test_area_of_cells(height, width, cell):
    boxes = torch.tensor(grid(height, width, cell))
    exits = torch.arange(len(boxes)) % 3
    area = deferred_area(boxes, exits, torch.Size((height, width)))
    for (x1, y1, x2, y2), stage in zip(boxes.tolist(), exits.tolist(), strict=True):
        assert (area[y1:y2, x1:x2] == (stage > 0)).all()


@settings(max_examples=10)
@given(st.randoms(use_true_random=False), st.integers(1, 9))
def test_neither_order_nor_division_of_images_matters(random, batch):
    samples = [make_sample(seed, annotated=seed != 4) for seed in range(10)]
    values = evaluate(samples)
    shuffled = random.sample(samples, len(samples))
    evaluator = Evaluator(dict(type='mmcascade.DeferredPixels'))
    evaluator.dataset_meta = dict(classes=CLASSES)
    for start in range(0, 10, batch):
        evaluator.process(shuffled[start : start + batch])
    assert evaluator.evaluate(10) == values


def test_labels_beyond_the_classes_count_for_none():
    truth = torch.tensor([[0, 1, 7, 255, -1]])
    prediction = torch.tensor([[0, 9, 1, 1, 0]])
    areas = class_areas(truth, prediction, torch.tensor([[True, False, True, True, True]]), 2)
    assert areas.tolist() == [[1, 0], [2, 1], [1, 1], [1, 0]]
    ignoring = class_areas(truth, prediction, torch.ones(1, 5, dtype=torch.bool), 2, ignore_index=1)
    assert ignoring.tolist() == [[1, 0], [2, 2], [1, 0], [1, 0]]


def test_images_without_annotation_do_not_count():
    samples = [make_sample(seed) for seed in range(3)]
    assert evaluate([make_sample(7, annotated=False), *samples]) == evaluate(samples)


def test_no_annotation_at_all_is_nan_with_a_warning():
    with pytest.warns(UserWarning, match='no labelled pixel from 2 images.*annotate the test images'):
        values = evaluate([make_sample(0, annotated=False), make_sample(1, annotated=False)])
    assert list(values) == [f'deferred/{name}' for name in (*CLASSES, 'all')]
    assert all(math.isnan(value) for value in values.values())


def test_one_small_result_per_sample():
    # Results of ranks are interleaved and cut by position, so none may be skipped.
    metric = METRICS.build(dict(type='mmcascade.DeferredPixels'))
    assert isinstance(metric, DeferredPixels)
    metric.dataset_meta = dict(classes=CLASSES)
    metric.process(None, [make_sample(seed, annotated=seed != 1).to_dict() for seed in range(3)])
    assert len(metric.results) == 3
    assert metric.results[1] == ()
    assert all(len(pickle.dumps(result)) <= 300 for result in metric.results)


def test_keys_of_classes():
    assert class_keys(CLASSES) == list(CLASSES)
    assert class_keys(['rail/track', 'all', 'a b', 'a b', 'rail_track']) == [
        'rail_track (0)',
        'all (1)',
        'a b (2)',
        'a b (3)',
        'rail_track (4)',
    ]
    values = evaluate([make_sample()], ('all', 'wall / fence', 'sky', 'sky'))
    assert list(values) == [
        'deferred/all (0)',
        'deferred/wall _ fence',
        'deferred/sky (2)',
        'deferred/sky (3)',
        'deferred/all',
    ]


@pytest.mark.parametrize(
    ('field', 'value', 'message'),
    [
        ('cells', None, r"0\.png has no 'cells'; .*so test one or leave the metric out"),
        ('pred_sem_seg', None, r"0\.png has no 'pred_sem_seg'"),
        ('gt_sem_seg', pixel_data(np.zeros((12, 20), int)), r"'gt_sem_seg' of .* is \(12, 20\).*after Resize"),
    ],
)
def test_bad_samples_are_named(field, value, message):
    sample = make_sample().to_dict()
    sample[field] = value.to_dict() if isinstance(value, PixelData) else value
    with pytest.raises(ValueError, match=message):
        evaluate([sample])


@pytest.mark.parametrize('meta', [None, {}, dict(classes=())])
def test_data_sets_without_classes_are_refused(meta):
    metric = METRICS.build(dict(type='mmcascade.DeferredPixels'))
    metric.dataset_meta = meta
    with pytest.raises(ValueError, match=r'needs the names of the classes; .*metainfo=dict\(classes'):
        metric.process(None, [make_sample().to_dict()])
