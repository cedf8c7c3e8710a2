# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mmcascade.evaluation import curves
from mmcascade.registry import METRICS
from tests.support.references import brute_force
from tests.test_evaluation.ood_samples import arrays, evaluate, make_samples, sample

SIZES = {'id': 50, 'digits': 20, 'noise': 9}


def scod(samples, **options):
    return evaluate(dict(type='mmcascade.SCOD', **options), samples)


@pytest.mark.parametrize('levels', [None, 6])
@pytest.mark.parametrize(('share', 'cost'), [(0.5, 1.0), (0.2, 3.0), (0.9, 0.0)])
def test_each_set_and_their_union_equal_brute_force(levels, share, cost):
    samples = make_samples(SIZES, levels=levels)
    values = scod(samples, coverages=(0.5, 0.8), ood_share=share, ood_cost=cost)
    for name, sets in (('digits', ['digits']), ('noise', ['noise']), ('all', ['digits', 'noise'])):
        mixture = arrays(samples, *sets)
        rows = brute_force.scod_points(*mixture, share, cost)
        for coverage in (0.5, 0.8):
            expected = next(loss / mass for _, mass, loss, inside in rows if inside >= coverage - 1e-12)
            assert values[f'scod/{name}/risk@coverage{100 * coverage:g}'] == pytest.approx(100 * expected)
        assert values[f'scod/{name}/aurc'] == pytest.approx(100 * brute_force.scod_aurc(*mixture, share, cost))
        assert values[f'scod/{name}/augrc'] == pytest.approx(100 * brute_force.scod_augrc(*mixture, share, cost))
    assert len(values) == 3 * 4


def test_wrong_and_foreign_images_both_count():
    samples = [
        sample(0, 0.9, 1, 1),
        sample(1, 0.8, 1, 2),
        sample(0, 0.7, dataset='far'),
        sample(2, 0.6, 1, 1),
        sample(3, 0.5, 2, 2),
    ]
    # Accepting 3 of 4 ID images accepts one error of them, at a mass of 1/8 each, and the OOD image at 1/2.
    assert scod(samples, coverages=(0.75,))['scod/far/risk@coverage75'] == pytest.approx(
        100 * (1 / 8 + 1 / 2) / (3 / 8 + 1 / 2)
    )


def test_agrees_with_the_subsampled_definition():
    """Xia & Bouganis (2023) draw as many ID images as there are OOD images, and count plainly.

    Checked on the logits of two classifiers of 10 classes that both see the same images, judged by the largest mean
    probability; their draw is repeated, so that its own noise is known.
    """
    rng = np.random.default_rng(0)
    n_id, n_ood, classes = 12_000, 10_000, 10
    label = rng.integers(classes, size=n_id)
    signal = np.zeros((n_id + n_ood, classes))
    signal[np.arange(n_id), label] = rng.gamma(3, 1, n_id)
    probs = np.mean(
        [torch.from_numpy(signal + rng.standard_normal(signal.shape)).softmax(1).numpy() for _ in range(2)], axis=0
    )
    confidence, predicted = probs.max(1), probs.argmax(1)
    wrong = np.r_[predicted[:n_id] != label, np.zeros(n_ood, bool)]
    ood = np.arange(n_id + n_ood) >= n_id
    areas, at_80 = [], []
    for _ in range(30):
        kept = np.r_[rng.permutation(n_id)[:n_ood], np.arange(n_id, n_id + n_ood)]
        order = np.argsort(-confidence[kept], kind='stable')
        loss = (wrong | ood)[kept][order]
        risk = np.cumsum(loss) / np.arange(1, len(loss) + 1)
        areas.append(brute_force.trapezoid([0, *risk], np.linspace(0, 1, len(loss) + 1)))
        accepted_id = np.cumsum(~ood[kept][order])
        at_80.append(risk[np.searchsorted(accepted_id, math.ceil(0.8 * n_ood))])
    metric = METRICS.build(dict(type='mmcascade.SCOD', coverages=(0.8,)))
    rows = zip(confidence.tolist(), ood.tolist(), wrong.tolist(), strict=True)
    values = metric.compute_metrics([(c, o, 'far' if o else 'id', 0, w) for c, o, w in rows])
    for key, draws in (('far/aurc', areas), ('far/risk@coverage80', at_80)):
        noise = np.std(draws, ddof=1) / np.sqrt(len(draws))
        assert abs(values[key] / 100 - np.mean(draws)) < 4 * noise + 1e-4
        assert noise < 0.005 * np.mean(draws), 'the comparison must be a sharp one'
    plain = curves.aurc(confidence[~ood], wrong[~ood])
    assert values['far/aurc'] / 100 > 2 * plain, 'OOD images must matter here'


def test_labels_of_ood_images_are_not_read():
    samples = make_samples(SIZES)
    values = scod(samples)
    for made in samples:
        if made.get('ood', False):
            del made.gt_label
    assert scod(samples) == values


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda made: delattr(made, 'gt_label'), r"id/3\.jpg has no 'gt_label'; .*mark the images of an OOD data set"),
        (
            lambda made: setattr(made, 'gt_label', torch.tensor([-1])),
            r'id/3\.jpg has the label -1 but is not marked.*MarkOOD.*algorithm_keys',
        ),
        (lambda made: delattr(made, 'pred_label'), r"id/3\.jpg has no 'pred_label'"),
    ],
)
def test_unlabelled_id_images_are_named(change, message):
    samples = make_samples(SIZES)
    change(samples[3])
    with pytest.raises(ValueError, match=message):
        scod(samples)


@pytest.mark.parametrize(
    ('sizes', 'message'),
    [
        ({'digits': 3}, r"SCOD got no in-distribution sample \(3 of 'digits'\)"),
        ({'id': 4}, r"SCOD got no OOD sample \(4 of 'id'\)"),
    ],
)
def test_missing_sides_are_named(sizes, message):
    with pytest.raises(ValueError, match=message):
        scod(make_samples(sizes))


def test_one_result_per_sample():
    metric = METRICS.build(dict(type='mmcascade.SCOD'))
    samples = make_samples(SIZES)
    metric.process(None, [made.to_dict() for made in samples])
    assert len(metric.results) == len(samples)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(ood_share=1), r'inside \(0, 1\), got 1'),
        (dict(ood_share=50), '50'),
        (dict(ood_cost=-1), 'finite number >= 0, got -1'),
        (dict(coverages=(80,)), r'coverages must be a fraction in \(0, 1\], got 80'),
    ],
)
def test_bad_options_fail_when_built(options, message):
    with pytest.raises(ValueError, match=message):
        METRICS.build(dict(type='mmcascade.SCOD', **options))
