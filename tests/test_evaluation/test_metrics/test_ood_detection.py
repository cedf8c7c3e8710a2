# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import math
import sys
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from mmcascade.evaluation.metrics import OODDetection
from mmcascade.registry import METRICS
from tests.support.references import brute_force
from tests.test_evaluation.ood_samples import arrays, evaluate, make_samples, sample

SIZES = {'id': 60, 'digits': 25, 'noise': 9}


def detect(samples, **options):
    return evaluate(dict(type='mmcascade.OODDetection', **options), samples)


@pytest.mark.parametrize('levels', [None, 8, 2])
def test_each_set_and_their_union_equal_brute_force_and_scikit_learn(levels):
    samples = make_samples(SIZES, levels=levels)
    values = detect(samples, tprs=(0.8, 0.95, 1.0))
    for name, sets in (('digits', ['digits']), ('noise', ['noise']), ('all', ['digits', 'noise'])):
        confidence, _, ood = arrays(samples, *sets)
        assert values[f'ood/{name}/auroc'] == pytest.approx(100 * brute_force.auroc(confidence, ~ood))
        assert values[f'ood/{name}/auroc'] == pytest.approx(100 * roc_auc_score(~ood, confidence))
        assert values[f'ood/{name}/aupr_in'] == pytest.approx(100 * average_precision_score(~ood, confidence))
        assert values[f'ood/{name}/aupr_out'] == pytest.approx(100 * average_precision_score(ood, -confidence))
        for tpr in (0.8, 0.95, 1.0):
            assert values[f'ood/{name}/fpr@tpr{100 * tpr:g}'] == pytest.approx(
                100 * brute_force.fpr_at_tpr(confidence, ~ood, tpr)
            )
    assert len(values) == 3 * 6


@settings(max_examples=40)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.lists(st.integers(0, 3), min_size=1, max_size=6))
def test_tiny_and_tied_sets(inside, outside):
    samples = [sample(i, c) for i, c in enumerate(inside)] + [
        sample(i, c, dataset='far') for i, c in enumerate(outside)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        values = detect(samples, tprs=(0.5,))
    confidence, _, ood = arrays(samples, 'far')
    assert values['ood/far/auroc'] == pytest.approx(100 * brute_force.auroc(confidence, ~ood))
    assert values['ood/far/aupr_out'] == pytest.approx(100 * brute_force.aupr(-confidence, ood))
    assert values['ood/far/fpr@tpr50'] == pytest.approx(100 * brute_force.fpr_at_tpr(confidence, ~ood, 0.5))


def test_high_confidence_means_in_distribution():
    samples = [sample(0, 0.9), sample(1, 0.8), sample(0, 0.1, dataset='far'), sample(1, 0.2, dataset='far')]
    values = detect(samples)
    assert values['ood/far/auroc'] == values['ood/far/aupr_in'] == values['ood/far/aupr_out'] == 100
    assert values['ood/far/fpr@tpr95'] == 0


def test_deployed_rates():
    samples = make_samples(SIZES, accepted=lambda made: made.confidence >= 0.5)
    values = detect(samples)
    confidence, _, ood = arrays(samples, 'digits')
    assert values['ood/digits/deployed_tpr'] == pytest.approx(100 * (confidence[~ood] >= 0.5).mean())
    assert values['ood/digits/deployed_fpr'] == pytest.approx(100 * (confidence[ood] >= 0.5).mean())
    confidence, _, ood = arrays(samples, 'digits', 'noise')
    assert values['ood/all/deployed_fpr'] == pytest.approx(100 * (confidence[ood] >= 0.5).mean())


def test_order_does_not_matter():
    samples = make_samples(SIZES, levels=5)
    shuffled = [samples[i] for i in np.random.default_rng(1).permutation(len(samples))]
    assert detect(shuffled) == pytest.approx(detect(samples), rel=1e-12)


def test_units_without_finite_output_rank_last():
    samples = make_samples(SIZES)
    for made in samples[:3] + samples[-3:]:
        made.confidence = -math.inf
    values = detect(samples)
    confidence, _, ood = arrays(samples, 'noise')
    assert values['ood/noise/auroc'] == pytest.approx(100 * brute_force.auroc(confidence, ~ood))
    assert values['ood/noise/aupr_out'] == pytest.approx(100 * brute_force.aupr(-confidence, ood))


def test_constant_scores_are_chance_and_warn():
    samples = [sample(i, 0.5) for i in range(6)] + [sample(i, 0.5, dataset='far') for i in range(2)]
    with pytest.warns(UserWarning, match='all 8 samples have the confidence 0.5'):
        values = detect(samples)
    assert values['ood/far/auroc'] == 50
    assert values['ood/far/fpr@tpr95'] == 100
    assert values['ood/far/aupr_in'] == 75
    assert values['ood/far/aupr_out'] == 25


def test_shared_images_warn_by_set():
    samples = make_samples(SIZES)
    path = samples[0].img_path
    samples[-1].set_field(path, 'img_path', field_type='metainfo')
    with pytest.warns(UserWarning, match=r"1 image\(s\) of the OOD data set 'noise' are in-distribution"):
        detect(samples)
    for made in samples:  # images that lie in memory have no path to share
        made.set_field(None, 'img_path', field_type='metainfo')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        detect(samples)


def test_plain_classifiers_and_unnamed_sets():
    samples = make_samples(SIZES)
    values = detect(samples)
    for made in samples:
        made.pred_score = torch.tensor([0.0, made.confidence], dtype=torch.float64)
        del made.confidence
    assert detect(samples) == values
    for made in samples:
        if made.get('ood', False):
            del made.dataset
    assert detect(samples)['ood/ood/auroc'] == values['ood/all/auroc']


def test_one_small_result_per_sample():
    metric = METRICS.build(dict(type='mmcascade.OODDetection'))
    assert isinstance(metric, OODDetection)
    samples = make_samples(SIZES, accepted=lambda made: True)
    metric.process(None, [made.to_dict() for made in samples])
    assert len(metric.results) == len(samples)
    for result in metric.results:
        assert sys.getsizeof(result) + sys.getsizeof(result[0]) + sys.getsizeof(result[3]) + 8 <= 160


@pytest.mark.parametrize(
    ('sizes', 'message'),
    [
        ({'digits': 3, 'noise': 2}, r"no in-distribution sample \(3 of 'digits', 2 of 'noise'\).*ConcatDataset"),
        ({'id': 4}, r"no OOD sample \(4 of 'id'\).*MarkOOD"),
        ({}, r'no in-distribution sample \(none at all\)'),
        ({'id': 4, 'all': 2}, "cannot be called 'all'"),
    ],
)
def test_missing_sides_are_named(sizes, message):
    with pytest.raises(ValueError, match=message):
        detect(make_samples(sizes))


def test_bad_scores_are_named():
    samples = make_samples(SIZES)
    samples[3].confidence = math.nan
    with pytest.raises(ValueError, match=r'confidence\[3\] is NaN'):
        detect(samples)
    del samples[3].confidence
    with pytest.raises(ValueError, match=r"3\.jpg has no 'pred_score'"):
        detect(samples)


@pytest.mark.parametrize(('tprs', 'error'), [((95,), ValueError), ((0,), ValueError), (0.95, TypeError)])
def test_bad_targets_fail_when_built(tprs, error):
    with pytest.raises(error, match='tprs must be'):
        METRICS.build(dict(type='mmcascade.OODDetection', tprs=tprs))


def test_unlabelled_samples_without_a_mark_are_named():
    samples = make_samples(SIZES)
    samples[3].gt_label = torch.tensor([-1])
    with pytest.raises(ValueError, match=r'id/3\.jpg has the label -1 but is not marked as OOD; .*MarkOOD'):
        detect(samples)


def test_several_labels_or_none_are_no_matter():
    samples = make_samples(SIZES)
    expected = detect(samples)
    samples[0].gt_label = torch.tensor([0, 2])
    samples[1].gt_label = torch.tensor([], dtype=torch.long)
    del samples[2].gt_label
    assert detect(samples) == expected
