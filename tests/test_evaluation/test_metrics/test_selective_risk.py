# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import BaseDataElement

from mmcascade.evaluation import curves
from mmcascade.evaluation.metrics import SelectiveRisk
from mmcascade.registry import METRICS


def make_samples(n=40, seed=0, **extra):
    """Samples of a cascade, as its test_step returns them."""
    rng = np.random.default_rng(seed)
    samples = []
    for i in range(n):
        sample = BaseDataElement(metainfo=dict(img_path=f'{i}.jpg'))
        sample.confidence = float(rng.random())
        sample.pred_label = torch.tensor([int(rng.integers(3))])
        sample.gt_label = torch.tensor([int(rng.integers(3))])
        for name, value in extra.items():
            sample.set_field(value(i, sample), name)
        samples.append(sample)
    return samples


def evaluate(samples, **config):
    evaluator = Evaluator(dict(type='mmcascade.SelectiveRisk', **config))
    evaluator.process(samples[:7])
    evaluator.process(samples[7:])
    return evaluator.evaluate(len(samples))


def arrays(samples):
    confidence = np.array([sample.confidence for sample in samples])
    return confidence, np.array([bool(s.pred_label != s.gt_label) for s in samples])


def test_prints_the_curves_in_percent():
    samples = make_samples()
    confidence, error = arrays(samples)
    assert evaluate(samples, risks=(0.5, 0.025), coverages=(0.8,)) == pytest.approx(
        {
            'selective/aurc': 100 * curves.aurc(confidence, error),
            'selective/augrc': 100 * curves.augrc(confidence, error),
            'selective/e_aurc': 100 * curves.e_aurc(confidence, error),
            'selective/auroc': 100 * curves.auroc(confidence, ~error),
            'selective/coverage@risk50': 100 * curves.coverage_at_risk(confidence, error, 0.5),
            'selective/coverage@risk2.5': 100 * curves.coverage_at_risk(confidence, error, 0.025),
            'selective/risk@coverage80': 100 * curves.risk_at_coverage(confidence, error, 0.8),
        }
    )


def test_default_targets():
    keys = set(evaluate(make_samples()))
    assert {
        'selective/coverage@risk5',
        'selective/coverage@risk10',
        'selective/risk@coverage50',
        'selective/risk@coverage80',
    } < keys
    assert not any('deployed' in key for key in keys)


def test_deployed_point():
    samples = make_samples(accepted=lambda i, sample: sample.confidence >= 0.6)
    confidence, error = arrays(samples)
    values = evaluate(samples)
    accepted = confidence >= 0.6
    assert values['selective/deployed_coverage'] == pytest.approx(100 * accepted.mean())
    assert values['selective/deployed_risk'] == pytest.approx(100 * error[accepted].mean())


def test_nothing_accepted_has_no_risk():
    values = evaluate(make_samples(accepted=lambda i, sample: torch.tensor(False)))
    assert values['selective/deployed_coverage'] == 0
    assert math.isnan(values['selective/deployed_risk'])


def test_single_classifiers_are_judged_by_their_largest_score():
    samples = make_samples(pred_score=lambda i, s: torch.tensor([0.0, s.confidence / 2, s.confidence / 4]).double())
    values = evaluate(samples)
    for sample in samples:
        del sample.confidence
    assert evaluate(samples) == values


def test_number_types_do_not_matter():
    samples = make_samples()
    values = evaluate(samples)
    for i, sample in enumerate(samples):
        tensor = torch.tensor(sample.confidence, dtype=torch.float64)
        sample.confidence = tensor[None] if i % 2 else tensor
        sample.pred_label = int(sample.pred_label)
        sample.gt_label = np.int64(sample.gt_label)
    assert evaluate(samples) == values


def test_ood_samples_do_not_count():
    inside = make_samples()
    outside = make_samples(5, seed=1, ood=lambda i, sample: True)
    for sample in outside:
        sample.gt_label = torch.tensor([-1])
    assert evaluate(inside + outside) == evaluate(inside)


def test_one_small_result_per_sample():
    # Results of ranks are interleaved and cut by position, so none may be skipped.
    metric = METRICS.build(dict(type='mmcascade.SelectiveRisk'))
    assert isinstance(metric, SelectiveRisk)
    samples = make_samples(accepted=lambda i, s: i % 2 == 0, ood=lambda i, s: i % 3 == 0)
    metric.process(None, [sample.to_dict() for sample in samples])
    assert len(metric.results) == len(samples)
    for result in metric.results:
        own = sys.getsizeof(result) + sum(
            sys.getsizeof(value) for value in result if value is not None and value is not True and value is not False
        )
        assert own + 8 <= 160  # 8 for the place in the list


@pytest.mark.parametrize(
    ('field', 'value', 'message'),
    [
        ('gt_label', None, r"3\.jpg has no 'gt_label'; .*one class label"),
        ('pred_label', None, r"3\.jpg has no 'pred_label'"),
        ('gt_label', torch.tensor([1, 2]), r"'gt_label' of .*3\.jpg must be one number"),
        ('confidence', torch.rand(2), r"'confidence' of .*3\.jpg must be one number"),
        ('confidence', math.nan, r'confidence\[3\] is NaN'),
    ],
)
def test_bad_samples_are_named(field, value, message):
    samples = make_samples()
    samples[3].set_field(value, field)
    with pytest.raises(ValueError, match=message):
        evaluate(samples)


def test_missing_fields_are_named():
    sample = make_samples(1)[0]
    del sample.confidence
    with pytest.raises(ValueError, match=r"0\.jpg has no 'pred_score'; .*confidence or pred_score"):
        evaluate([sample])
    with pytest.raises(ValueError, match="a data sample has no 'gt_label'"):
        evaluate([dict(confidence=0.5, pred_label=1)])


def test_no_in_distribution_sample_is_an_error():
    with pytest.raises(ValueError, match='no in-distribution sample .0 samples in all'):
        evaluate([])
    with pytest.raises(ValueError, match='no in-distribution sample .2 samples in all'):
        evaluate(make_samples(2, ood=lambda i, sample: True))


@pytest.mark.parametrize(
    ('config', 'error', 'message'),
    [
        (dict(risks=(5,)), ValueError, r'risks must be a fraction in \[0, 1\], got 5'),
        (dict(coverages=(0,)), ValueError, r'coverages must be a fraction in \(0, 1\], got 0'),
        (dict(risks=0.05), TypeError, 'risks must be a sequence .* got 0.05'),
        (dict(coverages='0.5'), TypeError, "got '0.5'"),
    ],
)
def test_bad_targets_fail_when_built(config, error, message):
    with pytest.raises(error, match=message):
        METRICS.build(dict(type='mmcascade.SelectiveRisk', **config))


def test_unlabelled_samples_without_a_mark_are_named():
    samples = make_samples(4)
    samples[2].gt_label = torch.tensor([-1])
    with pytest.raises(ValueError, match=r'2\.jpg has the label -1 but is not marked as OOD; .*MarkOOD'):
        evaluate(samples)
