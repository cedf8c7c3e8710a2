# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Metrics of torchmetrics say what the curves say, however the predictions come in."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip('torchmetrics')

from torchmetrics import MetricCollection

from mmcascade.apis.torch_metrics import AUGRC, AURC, CoverageAtRisk, ExcessAURC, RiskAtCoverage
from mmcascade.evaluation.curves.selective_curves import augrc, aurc, coverage_at_risk, e_aurc, risk_at_coverage

METRICS = {
    'aurc': (AURC, aurc),
    'trapezoid': (lambda: AURC('trapezoid'), lambda c, e: aurc(c, e, rule='trapezoid')),
    'excess': (ExcessAURC, e_aurc),
    'augrc': (AUGRC, augrc),
    'coverage': (lambda: CoverageAtRisk(0.2), lambda c, e: coverage_at_risk(c, e, 0.2)),
    'risk': (lambda: RiskAtCoverage(0.7), lambda c, e: risk_at_coverage(c, e, 0.7)),
}


@st.composite
def predictions(draw):
    """Probabilities with many ties, labels, and how they are divided into batches."""
    n, classes = draw(st.integers(1, 40)), draw(st.integers(2, 4))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = generator.integers(1, 4, (n, classes)).astype(np.float32)
    probs = levels / levels.sum(1, keepdims=True)
    cuts = sorted(draw(st.lists(st.integers(0, n), max_size=4)))
    return torch.from_numpy(probs), torch.from_numpy(generator.integers(classes, size=n)), cuts


@pytest.mark.parametrize('name', METRICS)
@settings(deadline=None, max_examples=30)
@given(case=predictions())
def test_as_the_curves_in_any_batches_and_order(name, case):
    probs, target, cuts = case
    make, curve = METRICS[name]
    expected = curve(probs.amax(1).numpy(), (probs.argmax(1) != target).numpy())
    metric = make()
    for rows in np.split(np.random.default_rng(0).permutation(len(target)), cuts):
        metric.update(probs[rows], target[rows])
    assert metric.compute().item() == pytest.approx(expected, abs=1e-15)
    metric.reset()
    metric.update(probs, target)
    assert metric.compute().item() == pytest.approx(expected, abs=1e-15)


def test_a_collection_a_copy_and_two_processes_joined():
    generator = torch.Generator().manual_seed(0)
    probs = torch.rand(50, 3, generator=generator).softmax(1)
    target = torch.randint(3, (50,), generator=generator)
    both = MetricCollection([AURC(), CoverageAtRisk(0.5)])
    both.update(probs[:20], target[:20])
    again = pickle.loads(pickle.dumps(both))
    again.update(probs[20:], target[20:])
    wrong = (probs.argmax(1) != target).numpy()
    found = again.compute()
    assert found['AURC'].item() == pytest.approx(aurc(probs.amax(1).numpy(), wrong))
    assert found['CoverageAtRisk'].item() == coverage_at_risk(probs.amax(1).numpy(), wrong, 0.5)
    one, other = AUGRC(), AUGRC()
    one.update(probs[:7], target[:7])
    other.update(probs[7:], target[7:])
    one.merge_state(other)
    assert one.compute().item() == pytest.approx(augrc(probs.amax(1).numpy(), wrong))


def test_scores_of_ones_own_and_half_precision():
    labels, target = torch.tensor([0, 1, 2]), torch.tensor([0, 1, 1])
    metric = AURC()
    metric.update(labels, target, confidence=torch.tensor([3.0, float('-inf'), 2.0]))
    assert metric.compute().item() == pytest.approx(aurc([3.0, -np.inf, 2.0], [0, 0, 1]))
    metric = AURC()
    metric.update(torch.tensor([[0.9, 0.1]], dtype=torch.bfloat16), torch.tensor([1]))
    assert metric.compute() == 1


@pytest.mark.parametrize(
    'arguments, message',
    [
        ((torch.rand(3, 2), torch.zeros(2)), 'preds are .N, classes. and target .N., got .3, 2. and .2'),
        ((torch.tensor([[3.0, -1.0]]), torch.zeros(1)), r'give preds.softmax\(1\)'),
        ((torch.zeros(2), torch.zeros(2)), 'labels alone have no confidence'),
        ((torch.rand(2, 3), torch.zeros(2), torch.zeros(3)), 'confidence is .N., got .3'),
    ],
)
def test_mistakes(arguments, message):
    with pytest.raises(ValueError, match=message):
        AURC().update(*arguments)


def test_options_and_no_batch():
    with pytest.raises(ValueError, match='risk'):
        CoverageAtRisk(5)
    with pytest.raises(ValueError, match='rule'):
        AURC('median')
    with pytest.warns(UserWarning, match='before'), pytest.raises(ValueError, match='has seen no batch'):
        AUGRC().compute()
