# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Windows for OOD detection: paper 1's procedure written out in numpy, and calibration units that are OOD."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import percentileofscore
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from mmcascade.calibration.fit.calibrate import calibration_of
from mmcascade.calibration.fit.evidence import Evidence
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.two_sided.adjust import adjust
from mmcascade.calibration.replay.replay import replay
from mmcascade.calibration.stores.identity import CascadeIdentity
from mmcascade.comparison.ood.detectors import detector_metrics
from mmcascade.routing import CachedStage, WindowPolicy
from tests.support.stored.calibrating import windows_of

N, CLASSES = 2000, 10
MACS = (1e9, 3e9)
IDENTITY = CascadeIdentity((), 'energy', 'prob')


def logits(kind, seed):
    """Float64 logits of two members that see the same units; OOD sets have weaker class evidence."""
    rng = np.random.default_rng(seed)
    evidence = rng.gamma({'id': 6, 'near': 4, 'far': 2}[kind], 1, N)
    signal = np.zeros((N, CLASSES))
    signal[np.arange(N), rng.integers(CLASSES, size=N)] = evidence
    return [signal + rng.standard_normal((N, CLASSES)) for _ in MACS]


def stages_of(*members):
    return [CachedStage(torch.from_numpy(z), macs=macs) for z, macs in zip(members, MACS, strict=True)]


def papers_cascade(first, second, window):
    """Score and MACs: mean energy where the first energy lies in the window, ends included; else the first energy."""
    energy = [logsumexp(z, axis=1) for z in (first, second)]
    goes = (energy[0] >= window[0]) & (energy[0] <= window[1])
    return np.where(goes, np.mean(energy, axis=0), energy[0]), MACS[0] + MACS[1] * goes.mean()


def papers_window(scores, tau, half_width=0.10):
    q = percentileofscore(scores, tau) / 100
    return np.quantile(scores, np.clip([q - half_width, q + half_width], 0, 1))


def papers_tau(scores, target):
    """The threshold of the ROC curve nearest to the TPR; the negatives do not matter, and here are noise once drawn."""
    noise = scores + np.random.default_rng(0).standard_normal(len(scores))
    _, tpr, thresholds = roc_curve(
        np.r_[np.ones(len(scores)), np.zeros(len(scores))], np.r_[scores, noise], drop_intermediate=False
    )
    return thresholds[np.argmin(np.abs(tpr - target))]


@pytest.mark.parametrize('tpr', [0.80, 0.95])
def test_paper_one_without_its_bugs(tpr):
    """Each OOD set against ID scores of the same window, and costs per set; adjusting leaves those as they were."""
    validation, inside = logits('id', 0), logits('id', 1)
    outside = {'near': logits('near', 2), 'far': logits('far', 3)}
    scores = logsumexp(validation[0], axis=1)
    tau = papers_tau(scores, tpr)
    window = papers_window(scores, tau)
    labels = np.zeros(N, dtype=int)
    fitted = windows_of(stages_of(*validation), labels, f'tpr={tpr}', rule='paper', confidence='energy')
    assert fitted.tau == [pytest.approx(tau)]
    assert fitted.windows[0] == pytest.approx(window)
    calibration = calibration_of(
        fitted, Evidence.of_stages(stages_of(*validation), labels, IDENTITY), CalibrationRequest(f'tpr={tpr}')
    )

    members = [np.concatenate([inside[k], *(sets[k] for sets in outside.values())]) for k in range(2)]
    truth = np.repeat([0, -1, -1], N)
    names = np.repeat(['id', *outside], N)
    values = detector_metrics(replay(stages_of(*members), WindowPolicy(fitted.windows), 3 * N, 'energy'), truth, names)
    id_score, id_macs = papers_cascade(*inside, window)
    assert values['cost/id/macs'] == pytest.approx(id_macs / 1e9)
    for name, sets in outside.items():
        score, macs = papers_cascade(*sets, window)
        uncertainty, positive = -np.r_[id_score, score], np.r_[np.zeros(N), np.ones(N)]
        assert values[f'ood/{name}/auroc'] == pytest.approx(100 * roc_auc_score(positive, uncertainty))
        assert values[f'ood/{name}/aupr_out'] == pytest.approx(100 * average_precision_score(positive, uncertainty))
        threshold = np.sort(id_score)[::-1][round(tpr * N) - 1]
        assert values[f'ood/{name}/fpr@tpr{100 * tpr:g}'] == pytest.approx(100 * (score >= threshold).mean())
        assert values[f'cost/{name}/macs'] == pytest.approx(macs / 1e9)

        mixture = [np.concatenate([a, b]) for a, b in zip(inside, sets, strict=True)]
        adjusted = papers_window(logsumexp(mixture[0], axis=1), tau)
        ours = adjust(calibration, stages_of(*mixture)[0], 2 * N)
        assert ours.windows[0] == pytest.approx(adjusted)
        result = replay(stages_of(*mixture), ours.policy(), 2 * N, 'energy')
        expected = [papers_cascade(*part, adjusted)[1] for part in (inside, sets)]
        assert [result.macs[:N].mean(), result.macs[N:].mean()] == pytest.approx(expected)


def test_a_window_at_tpr_95_is_clipped_and_defers_fifteen_percent():
    validation = logits('id', 0)
    scores = logsumexp(validation[0], axis=1)
    fitted = windows_of(stages_of(*validation), np.zeros(N, dtype=int), 'tpr=0.95', confidence='energy')
    low, high = fitted.windows[0]
    assert low == pytest.approx(scores.min())
    assert ((scores >= low) & (scores <= high)).mean() == pytest.approx(0.15, abs=2e-3)
    result = replay(stages_of(*logits('far', 3)), WindowPolicy(fitted.windows), N, 'energy')
    below = logsumexp(logits('far', 3)[0], axis=1) < low
    assert below.any() and (result.exit_stage[below] == 0).all()


def test_ood_examples_shape_the_window_and_leave_tau_where_it_is():
    """Calibration units with the label -1 count in no TPR, but in the share that is deferred."""
    validation, outside = logits('id', 0), logits('near', 2)
    labels = np.repeat([0, -1], N)
    alone = windows_of(stages_of(*validation), labels[:N], 'tpr=0.8', confidence='energy')
    both = stages_of(*(np.concatenate([a, b]) for a, b in zip(validation, outside, strict=True)))
    mixed = windows_of(both, labels, 'tpr=0.8', confidence='energy')
    assert mixed.tau == alone.tau
    assert mixed.windows != alone.windows
    result = replay(both, WindowPolicy(mixed.windows), 2 * N, 'energy')
    assert result.exit_stage.mean() == pytest.approx(0.2, abs=2e-3)
    calibration = calibration_of(mixed, Evidence.of_stages(both, labels, IDENTITY), CalibrationRequest('tpr=0.8'))
    accepted = result.confidence >= calibration.accept
    assert accepted[:N].mean() == pytest.approx(0.8, abs=1e-3)
    with pytest.raises(ValueError, match='no calibration unit has a class label >= 0'):
        windows_of(both, np.full(2 * N, -1), 'tpr=0.8', confidence='energy')


def test_for_a_risk_accepting_an_ood_unit_is_an_error():
    validation, outside = logits('id', 0), logits('far', 3)
    both = stages_of(*(np.concatenate([a, b]) for a, b in zip(validation, outside, strict=True)))
    predicted = replay(both, WindowPolicy([(None, None)]), 2 * N, 'energy').label
    labels = np.r_[predicted[:N], np.full(N, -1)]  # all ID predictions are right
    fitted = windows_of(both, labels, 'risk=0.1', confidence='energy')
    calibration = calibration_of(fitted, Evidence.of_stages(both, labels, IDENTITY), CalibrationRequest('risk=0.1'))
    result = replay(both, WindowPolicy(fitted.windows), 2 * N, 'energy')
    accepted = result.confidence >= calibration.accept
    assert (result.label[accepted] != labels[accepted]).mean() <= 0.1
    assert accepted[N:].any()
