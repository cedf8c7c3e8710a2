# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.registry import METRICS as MMENGINE_METRICS

from mmcascade.registry import METRICS
from tests.test_evaluation.ood_samples import evaluate, make_samples

SIZES = {'id': 20, 'digits': 9, 'noise': 4}
ACCURACY = dict(type='mmpretrain.Accuracy', topk=(1,))


def with_scores(samples):
    for made in samples:
        made.pred_score = torch.eye(3)[made.pred_label[0]]
    return samples


def test_accuracy_of_the_mixture_is_that_of_its_id_samples():
    samples = with_scores(make_samples(SIZES))
    values = evaluate([dict(type='mmcascade.SubsetMetric', metric=ACCURACY)], samples)
    assert values == evaluate([ACCURACY], samples[:20])
    assert list(values) == ['accuracy/top1']
    assert values['accuracy/top1'] > evaluate([ACCURACY], samples)['accuracy/top1']


def test_any_set_can_be_chosen():
    samples = with_scores(make_samples(SIZES))
    config = dict(type='mmcascade.SubsetMetric', metric=dict(ACCURACY, prefix='digits'), dataset='digits')
    assert evaluate([config], samples) == {'digits/top1': 0.0}
    with pytest.raises(ValueError, match="no sample of the data set 'texture' among 33"):
        evaluate([dict(type='mmcascade.SubsetMetric', metric=ACCURACY, dataset='texture')], samples)


class Count(BaseMetric):
    """Keeps two results per sample and knows the classes."""

    default_prefix = 'count'

    def process(self, data_batch, data_samples):
        assert data_batch is None
        for _ in data_samples:
            self.results += [1, 1]

    def compute_metrics(self, results):
        return dict(results=len(results), classes=len(self.dataset_meta['classes']))


def test_one_entry_per_sample_whatever_the_metric_keeps():
    metric = METRICS.build(dict(type='mmcascade.SubsetMetric', metric=Count()))
    evaluator = Evaluator([metric])
    evaluator.dataset_meta = dict(classes=('a', 'b', 'c'))
    samples = make_samples(SIZES)
    evaluator.process(samples)
    assert len(metric.results) == len(samples)
    assert evaluator.evaluate(len(samples)) == {'count/results': 40, 'count/classes': 3}
    # the sampler's repeated samples stand at the end, and are cut there
    evaluator.process(samples + samples[:5])
    assert evaluator.evaluate(len(samples))['count/results'] == 40


def test_only_metrics_are_wrapped():
    with pytest.raises(TypeError, match='config or object of a metric, got 3'):
        MMENGINE_METRICS.build(dict(type='mmcascade.SubsetMetric', metric=3))
