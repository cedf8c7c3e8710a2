# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What all of our metrics share: floats, scores that are NaN, intervals."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.hooks import LoggerHook
from mmengine.logging import HistoryBuffer

from mmcascade.evaluation.metrics.samples.sample_metric import SampleMetric

NAN = math.nan


def samples(n=60, seed=0, **fields):
    rng = np.random.default_rng(seed)
    made = []
    for number in range(n):
        ood = number >= 2 * n // 3
        made.append(
            dict(
                confidence=float(rng.integers(20)) / 20,
                pred_label=torch.tensor([int(rng.integers(3))]),
                gt_label=torch.tensor([-1 if ood else int(rng.integers(3))]),
                accepted=bool(rng.random() < 0.6),
                macs=1e9,
                exit_stage=int(rng.integers(2)),
                num_stages=2,
                **(dict(ood=True, dataset='far') if ood else {}),
                **fields,
            )
        )
    return made


def evaluate(made, **metric):
    return Evaluator(dict(metric)).offline_evaluate(made)


@pytest.mark.parametrize('kind', ['SelectiveRisk', 'OODDetection', 'SCOD', 'CascadeCost'])
def test_every_value_is_a_float_that_the_log_of_a_run_keeps(kind):
    values = evaluate(samples(), type=f'mmcascade.{kind}')
    assert values and all(type(value) is float for value in values.values())
    as_the_loop_writes_them = {key: HistoryBuffer([value], [1]).current() for key, value in values.items()}
    assert json.loads(json.dumps(LoggerHook._process_tags(as_the_loop_writes_them))) == values


@pytest.mark.parametrize('kind', ['SelectiveRisk', 'OODDetection', 'SCOD'])
def test_intervals_stand_beside_every_value_and_hold_it(kind):
    plain = evaluate(samples(), type=f'mmcascade.{kind}')
    wide, narrow = (evaluate(samples(), type=f'mmcascade.{kind}', interval=level) for level in (0.95, 0.5))
    assert {key: value for key, value in wide.items() if key in plain} == plain
    assert wide.keys() == {*plain, *(f'{key}/{end}' for key in plain for end in ('low', 'high'))}
    for key, value in plain.items():
        assert wide[f'{key}/low'] <= value + 10 and wide[f'{key}/low'] <= narrow[f'{key}/low']
        assert narrow[f'{key}/high'] <= wide[f'{key}/high'] and value <= wide[f'{key}/high'] + 10
    assert evaluate(samples(), type=f'mmcascade.{kind}', interval=0.95) == wide  # the same draws


def test_the_interval_of_a_coverage_is_about_that_of_its_binomial():
    made = samples(3000)
    values = evaluate(made, type='mmcascade.SelectiveRisk', interval=0.95)
    share = np.mean([sample['accepted'] for sample in made[:2000]])
    half = 100 * 1.96 * math.sqrt(share * (1 - share) / 2000)
    key = 'selective/deployed_coverage'
    assert values[f'{key}/high'] - values[key] == pytest.approx(half, rel=0.15)
    assert values[key] - values[f'{key}/low'] == pytest.approx(half, rel=0.15)


@pytest.mark.parametrize('kind', ['SelectiveRisk', 'OODDetection', 'SCOD'])
@pytest.mark.parametrize('level', [0, 1, 95, -0.1])
def test_a_level_is_a_fraction(kind, level):
    with pytest.raises(ValueError, match='interval is the level of confidence intervals, such as 0.95'):
        evaluate(samples(), type=f'mmcascade.{kind}', interval=level)


def plain_classifier(scores, labels):
    return [
        dict(
            pred_score=torch.tensor(score),
            pred_label=torch.tensor([int(np.argmax(score))]),
            gt_label=torch.tensor([label]),
        )
        for score, label in zip(scores, labels, strict=True)
    ]


def test_nan_scores_of_a_plain_classifier_rank_last():
    made = plain_classifier([[0.9, 0.1], [0.2, 0.8], [NAN, NAN]], [0, 1, 1])
    with pytest.warns(UserWarning, match='1 of 3 samples have the score NaN: they rank last'):
        values = evaluate(made, type='mmcascade.SelectiveRisk')
    assert values['selective/nonfinite'] == 1
    assert values['selective/aurc'] == pytest.approx(100 / 9)
    assert values['selective/coverage@risk5'] == pytest.approx(200 / 3)
    as_cascade = [dict(s, confidence=c) for s, c in zip(made, (0.9, 0.8, -math.inf), strict=True)]
    expected = evaluate(as_cascade, type='mmcascade.SelectiveRisk')
    assert values == expected | {'selective/nonfinite': 1}


@pytest.mark.parametrize('kind, prefix', [('OODDetection', 'ood'), ('SCOD', 'scod')])
def test_nan_scores_of_a_plain_classifier_rank_last_among_ood_images(kind, prefix):
    made = plain_classifier([[0.9, 0.1], [0.2, 0.8], [NAN, 0.5], [0.6, 0.4]], [0, 1, 1, -1])
    made[3] |= dict(ood=True, dataset='far')
    with pytest.warns(UserWarning, match='1 of 4 samples have the score NaN'):
        values = evaluate(made, type=f'mmcascade.{kind}')
    assert values.pop(f'{prefix}/nonfinite') == 1
    as_cascade = [dict(s, confidence=c) for s, c in zip(made, (0.9, 0.8, -math.inf, 0.6), strict=True)]
    assert values == evaluate(as_cascade, type=f'mmcascade.{kind}')


def test_all_metrics_of_a_run_warn_in_the_same_words(recwarn):
    made = plain_classifier([[0.9, 0.1], [NAN, NAN], [0.6, 0.4]], [0, 1, -1])
    made[2] |= dict(ood=True, dataset='far')
    warnings.simplefilter('default')
    kinds = [dict(type=f'mmcascade.{kind}') for kind in ('OODDetection', 'SCOD')]
    Evaluator(kinds).offline_evaluate(made)
    assert sum('have the score NaN' in str(warning.message) for warning in recwarn) == 1


def test_a_cascades_nan_is_an_error_still():
    with pytest.raises(ValueError, match='is NaN and cannot be ranked'):
        evaluate([dict(samples()[0], confidence=NAN)], type='mmcascade.SelectiveRisk')


def test_an_incomplete_metric_cannot_be_made():
    class Half(SampleMetric):
        def keep(self, sample):
            return 1

    with pytest.raises(TypeError, match='abstract method'):
        Half()
