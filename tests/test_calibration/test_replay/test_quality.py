# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest

from mmcascade.calibration.replay.quality import Quality
from mmcascade.evaluation import curves

EXAMPLES = ['accuracy', 'coverage@risk=0.2', 'risk@coverage=0.6', 'aurc', 'augrc']


def scored(n=200, seed=0):
    rng = np.random.default_rng(seed)
    confidence = rng.permutation(n).astype(np.float32) / n
    return confidence, rng.random(n) > 0.3 + 0.6 * confidence


def screened(quality, accepted, errors, units):
    """The quality of sums of what units carry: wrong ones, or how many are accepted and wrong at thresholds."""
    sums = np.concatenate([accepted, errors], -1) if quality.needs_scores else errors[..., :1]
    return quality.of(sums, range(units))


def exact(quality, confidence, wrong):
    return quality.exact(confidence, wrong) if quality.needs_scores else 1 - wrong.mean()


@pytest.mark.parametrize('text', EXAMPLES)
def test_a_threshold_at_every_score_shows_everything(text):
    quality = Quality.parse(text)
    assert str(quality) == text
    confidence, wrong = scored()
    thresholds = np.sort(confidence)
    accepted = np.array([(confidence >= t).sum() for t in thresholds], np.int32)
    errors = np.array([wrong[confidence >= t].sum() for t in thresholds], np.int32)
    expected = exact(quality, confidence, wrong)
    found = screened(quality, np.stack([accepted, accepted]), np.stack([errors, 0 * errors]), len(wrong))
    # AURC as a trapezoid over the ranks differs from the mean of the risks by half of one.
    assert found[0] == pytest.approx(expected, abs=0.5 / len(wrong) if text == 'aurc' else 1e-12)
    assert found[1] == pytest.approx(1.0 if quality.higher_is_better else 0.0)


@pytest.mark.parametrize('text', EXAMPLES)
def test_a_hundred_thresholds_come_close(text):
    quality = Quality.parse(text)
    confidence, wrong = scored(5000, 1)
    thresholds = np.append(-np.inf, np.quantile(confidence, np.arange(1, 100) / 100))
    accepted = np.array([(confidence >= t).sum() for t in thresholds], np.int32)
    errors = np.array([wrong[confidence >= t].sum() for t in thresholds], np.int32)
    assert screened(quality, accepted, errors, 5000) == pytest.approx(exact(quality, confidence, wrong), abs=0.02)


def test_measures_are_those_of_the_curves():
    confidence, wrong = scored()
    assert Quality.parse('coverage@risk=0.2').exact(confidence, wrong) == curves.coverage_at_risk(
        confidence, wrong, 0.2
    )
    assert Quality.parse('risk@coverage=0.6').exact(confidence, wrong) == curves.risk_at_coverage(
        confidence, wrong, 0.6
    )


@pytest.mark.parametrize(
    'text, message',
    [
        ('mAP', 'written .accuracy'),
        ('accuracy=0.9', 'written .accuracy'),
        ('coverage@risk', 'written .accuracy'),
        ('coverage@risk=x', 'is a number'),
        ('coverage@risk=5', 'fraction in .0, 1.'),
        ('risk@coverage=0', 'fraction in .0, 1.'),
    ],
)
def test_bad_qualities_are_named(text, message):
    with pytest.raises(ValueError, match=message):
        Quality.parse(text)


def test_gain_turns_the_sign_where_lower_is_better():
    assert Quality.parse('aurc').gain(0.1) == -0.1
    assert Quality.parse('accuracy').gain(0.1) == 0.1
