# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.evaluator import Evaluator
from mmengine.structures import PixelData

from mmcascade.evaluation import curves
from mmcascade.evaluation.curves.histograms.histogram_brackets import area_bracket
from mmcascade.evaluation.curves.histograms.histogram_curves import aurc_from_counts
from mmcascade.evaluation.curves.histograms.score_bins import ScoreBins
from mmcascade.evaluation.metrics import PixelSelective
from mmcascade.registry import METRICS
from tests.test_evaluation.pixel_samples import IGNORE, make_sample, pixel_data, softmax_scores, units


def evaluate(samples, **config):
    evaluator = Evaluator(dict(type='mmcascade.PixelSelective', **config))
    evaluator.process(samples[:1])
    evaluator.process(samples[1:])
    return evaluator.evaluate(len(samples))


def exact(confidence, error, risks=(0.05, 0.1), coverages=(0.8,)):
    """The printed keys from the scores themselves."""
    values = {
        'aurc': curves.aurc(confidence, error),
        'augrc': curves.augrc(confidence, error),
        'auroc': curves.auroc(confidence, ~error),
    }
    values |= {f'coverage@risk{100 * risk:g}': curves.coverage_at_risk(confidence, error, risk) for risk in risks}
    values |= {f'risk@coverage{100 * c:g}': curves.risk_at_coverage(confidence, error, c) for c in coverages}
    return {f'pixel/{key}': 100 * value for key, value in values.items()}


def of_bins(confidence, error, upper=1.0, **targets):
    """The same where a pixel's score is its bin: what the metric says exactly."""
    return exact(-ScoreBins(upper)(confidence).astype(float), error, **targets)


def near(values):
    return pytest.approx(values, rel=1e-10, abs=1e-10, nan_ok=True)


def test_all_labelled_pixels_of_all_images_count():
    samples = [make_sample(seed) for seed in range(3)]
    assert evaluate(samples) == near(of_bins(*units(samples)))
    targets = dict(risks=(0.025, 0.3), coverages=(0.5, 0.995))
    assert evaluate(samples, **targets) == near(of_bins(*units(samples), **targets))


def test_default_keys():
    assert list(evaluate([make_sample()])) == [
        'pixel/aurc',
        'pixel/augrc',
        'pixel/auroc',
        'pixel/coverage@risk5',
        'pixel/coverage@risk10',
        'pixel/risk@coverage80',
    ]


def test_few_scores_are_exact():
    levels = np.array([0.3, 0.5, 0.75, 0.99, 1.0, 1 - 2.0**-20, 1 - 2.0**-24, -math.inf], np.float32)
    samples = [make_sample(seed) for seed in range(2)]
    for sample in samples:
        sample.confidence_map = pixel_data(np.random.default_rng(5).choice(levels, (24, 40)))
    assert evaluate(samples) == near(exact(*units(samples)))


@pytest.mark.parametrize(('scale', 'temperature', 'percent_wrong'), [(8, 2.0, 36), (20, 3.0, 22), (60, 4.0, 10)])
def test_stated_error_on_softmax_maps(scale, temperature, percent_wrong):
    scores, error = softmax_scores(256, 512, scale, temperature)
    assert 100 * error.mean() == pytest.approx(percent_wrong, abs=5)
    for name, confidence in scores.items():
        upper = 0.0 if name == 'neg_entropy' else 1.0
        sample = make_sample(shape=(256, 512), cell=128)
        sample.confidence_map = pixel_data(confidence.reshape(256, 512))
        sample.pred_sem_seg = pixel_data(np.zeros((256, 512), int))
        sample.gt_sem_seg = pixel_data(error.reshape(256, 512).astype(int))
        found, truth = evaluate([sample], upper=upper), exact(confidence, error)
        bounds = dict(aurc=2e-4, augrc=2e-4, auroc=4e-4)
        for key, value in found.items():
            kind = key.removeprefix('pixel/')
            assert value == pytest.approx(truth[key], abs=bounds.get(kind, 0.1))
            if kind.startswith('coverage'):
                assert value <= truth[key] + 1e-9


@pytest.fixture
def stated(monkeypatch):
    """The brackets that the log states, by key."""
    brackets = {}

    def read(line, logger):
        prefix, rest = line.split('/* are computed from binned scores; exact scores would give ')
        for part in rest.split(', '):
            key, low, _, high = part.split(' ')
            brackets[f'{prefix}/{key}'] = float(low), float(high)

    monkeypatch.setattr('mmcascade.evaluation.metrics.pixel_selective.print_log', read)
    return brackets


def test_the_log_states_brackets_that_hold_the_exact_results(stated):
    samples = [make_sample(seed) for seed in range(3)]
    assert set(evaluate(samples)) == set(stated)
    for key, value in exact(*units(samples)).items():
        low, high = stated[key]
        assert low - 1e-4 <= value <= high + 1e-4
        assert high - low < 3
        assert high > low or '@' in key


def test_saturated_scores_have_no_order_to_forget(stated):
    sample = make_sample()
    sample.confidence_map = pixel_data(1 - 2.0**-20 * (sample.confidence_map.data[0] < 0.9))
    evaluate([sample])
    for key, (low, high) in stated.items():
        assert high == low, key


@settings(max_examples=15)
@given(st.randoms(use_true_random=False), st.integers(1, 23))
def test_neither_order_nor_division_of_pixels_matters(random, row):
    whole = make_sample(3)
    values = evaluate([whole])
    order = torch.tensor(random.sample(range(24 * 40), 24 * 40))
    shuffled, top, bottom = make_sample(3), make_sample(3), make_sample(3)
    for name in ('pred_sem_seg', 'confidence_map', 'gt_sem_seg'):
        plane = whole.get(name).data[0]
        shuffled.set_field(pixel_data(plane.flatten()[order].reshape(24, 40)), name)
        top.set_field(pixel_data(plane[:row]), name)
        bottom.set_field(pixel_data(plane[row:]), name)
    assert evaluate([shuffled]) == values
    assert evaluate([top, bottom]) == values


@pytest.mark.parametrize('rescale', [lambda c: c**3, lambda c: 1 - (1 - c) ** 2, lambda c: (c - 5) / 7, np.log1p])
def test_monotone_scales_agree_within_the_brackets(rescale):
    samples = [make_sample(seed) for seed in range(3)]
    confidence, error = units(samples)
    for sample in samples:
        scaled = rescale(sample.confidence_map.data[0].numpy().astype(np.float64)).astype(np.float32)
        sample.confidence_map = pixel_data(scaled)
    upper = float(np.float32(rescale(np.float64(1))))
    value = evaluate(samples, upper=upper)['pixel/aurc']
    bins = ScoreBins(1.0)
    right, wrong = (np.bincount(bins(confidence[error == kind]), minlength=bins.number) for kind in (False, True))
    low, high = area_bracket(aurc_from_counts, right, wrong, bins.single)
    # Both histograms hold the exact result in their brackets; their widths together bound the difference.
    assert value == pytest.approx(100 * curves.aurc(confidence, error), abs=2 * 100 * (high - low))


def test_images_without_annotation_do_not_count():
    samples = [make_sample(seed) for seed in range(3)]
    blank = make_sample(7, annotated=False)
    ignored = make_sample(8, gt_sem_seg=pixel_data(np.full((24, 40), IGNORE)))
    assert evaluate([blank, samples[0], ignored, *samples[1:]]) == evaluate(samples)


def test_no_annotation_at_all_is_nan_with_a_warning():
    with pytest.warns(UserWarning, match='no labelled pixel from 2 images.*annotate the test images'):
        values = evaluate([make_sample(0, annotated=False), make_sample(1, annotated=False)])
    assert set(values) == set(evaluate([make_sample()]))
    assert all(math.isnan(value) for value in values.values())


def test_one_small_result_per_sample():
    # Results of ranks are interleaved and cut by position, so none may be skipped.
    metric = METRICS.build(dict(type='mmcascade.PixelSelective'))
    assert isinstance(metric, PixelSelective)
    samples = [make_sample(seed, shape=(512, 512), cell=256, annotated=seed != 1) for seed in range(3)]
    metric.process(None, [sample.to_dict() for sample in samples])
    assert len(metric.results) == 3
    assert metric.results[1] == ()
    assert all(len(pickle.dumps(result)) <= 24_000 for result in metric.results)


def test_number_types_do_not_matter():
    sample, other = make_sample(), make_sample()
    other.pred_sem_seg = pixel_data(sample.pred_sem_seg.data[0].to(torch.uint8))
    other.gt_sem_seg = pixel_data(sample.gt_sem_seg.data[0].to(torch.uint8))
    other.confidence_map = pixel_data(sample.confidence_map.data[0].double())
    assert evaluate([other]) == evaluate([sample])
    half = make_sample(confidence_map=pixel_data(sample.confidence_map.data[0].bfloat16()))
    assert evaluate([half]) == near(
        of_bins(
            half.confidence_map.data[0].float().numpy()[sample.gt_sem_seg.data[0].numpy() != IGNORE], units([sample])[1]
        )
    )


@pytest.mark.parametrize(
    ('field', 'value', 'message'),
    [
        ('confidence_map', None, r"0\.png has no 'confidence_map'; .*confidence_map=True"),
        ('pred_sem_seg', None, r"0\.png has no 'pred_sem_seg'"),
        (
            'confidence_map',
            pixel_data(np.full((24, 40), math.nan, np.float32)),
            r"'confidence_map' of .*0\.png: .* NaN",
        ),
        (
            'confidence_map',
            pixel_data(np.ones((12, 20), np.float32)),
            r'is \(12, 20\), but the prediction is \(24, 40\)',
        ),
        ('gt_sem_seg', pixel_data(np.zeros((12, 20), int)), r"'gt_sem_seg' of .* is \(12, 20\).*after Resize"),
        ('pred_sem_seg', dict(data=torch.zeros(2, 24, 40)), r'must be one map, \(1, H, W\), got \(2, 24, 40\)'),
    ],
)
def test_bad_samples_are_named(field, value, message):
    sample = make_sample().to_dict()
    sample[field] = value.to_dict() if isinstance(value, PixelData) else value
    with pytest.raises(ValueError, match=message):
        evaluate([sample])


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        (dict(risks=(5,)), '5 % is written 0.05'),
        (dict(coverages=(0,)), r'coverages must be a fraction in \(0, 1\]'),
        (dict(upper=math.inf), 'upper must be a finite number'),
    ],
)
def test_bad_settings_are_named_at_once(config, message):
    with pytest.raises(ValueError, match=message):
        PixelSelective(**config)
    with pytest.raises(TypeError, match='risks must be a sequence'):
        PixelSelective(risks=0.05)
