# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from mmcascade.routing import (
    CONFIDENCES,
    FUSIONS,
    CascadeState,
    Confidence,
    StageOutput,
    build_confidence,
)

ROWS = torch.randn(20, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 3


def score(name, rows, fusion='prob'):
    confidence = CONFIDENCES[name]
    return confidence(CascadeState.start(StageOutput(logits=rows), fusion, 1.0, confidence.member_score(fusion)))


@pytest.mark.parametrize('fusion', ['prob', 'logit', 'replace'])
def test_against_scipy(fusion):
    z = ROWS.numpy()
    p = special.softmax(z, axis=1)
    top = sorted_top = -(-p).copy()
    sorted_top.sort(axis=1)
    expected = {
        'max_prob': p.max(1),
        'prob_gap': top[:, -1] - top[:, -2],
        'neg_entropy': -stats.entropy(p, axis=1),
        'logit_gap': (s := torch.from_numpy(z).sort(1).values.numpy())[:, -1] - s[:, -2],
        'energy': special.logsumexp(z, axis=1),
        'max_logit': z.max(1),
        'neg_mutual_information': 0 * z[:, 0],  # one member agrees with itself
        'neg_variation_ratio': 0 * z[:, 0],
        'agreement': 1 + 0 * z[:, 0],
    }
    assert expected.keys() == CONFIDENCES.keys()
    for name, value in expected.items():
        torch.testing.assert_close(score(name, ROWS, fusion), torch.from_numpy(value), rtol=1e-9, atol=1e-12)


@given(st.permutations(range(6)))
def test_the_order_of_classes_does_not_matter(order):
    for name in CONFIDENCES:
        torch.testing.assert_close(score(name, ROWS[:, order]), score(name, ROWS))


@pytest.mark.parametrize('name', ['max_prob', 'prob_gap', 'neg_entropy', 'logit_gap'])
def test_higher_is_more_certain(name):
    sharper = [score(name, ROWS / t) for t in (4.0, 2.0, 1.0)]
    assert (sharper[0] < sharper[1]).all()
    assert (sharper[1] < sharper[2]).all()


def test_limits():
    certain, uniform = torch.tensor([[900.0, 0, 0]]), torch.zeros(1, 3)
    assert score('max_prob', certain).item() == 1
    assert score('neg_entropy', certain).item() == 0
    assert score('neg_entropy', uniform).item() == pytest.approx(-math.log(3))
    assert score('prob_gap', uniform).item() == 0
    # log p2 is floored at the log of the smallest normal float32
    assert score('logit_gap', certain).item() == pytest.approx(87.3365, abs=1e-3)
    assert score('logit_gap', certain, 'logit').item() == 900


def test_a_gap_needs_two_classes():
    with pytest.raises(ValueError, match='at least 2 classes, got 1'):
        score('prob_gap', torch.zeros(2, 1))


def test_objects_pass_and_unknown_names_do_not():
    class Mine(Confidence):
        def score(self, state):
            return state.fused.probs[:, 0]

    mine = Mine()
    assert build_confidence(mine) is mine
    with pytest.raises(ValueError, match="unknown confidence 'entropy'.*neg_entropy"):
        build_confidence('entropy')


@pytest.mark.parametrize('name', sorted(CONFIDENCES))
@pytest.mark.parametrize('fusion', FUSIONS)
@pytest.mark.parametrize('temperature', [1.0, 0.1])
def test_finite_logits_of_any_size_give_finite_scores(name, fusion, temperature):
    """Sums of four members, and differences of two such sums, stay within float32."""
    confidence, huge = CONFIDENCES[name], torch.tensor([[3e38, -3e38, 0.0], [-3e38, -3e38, -3e38]])
    state = None
    for _ in range(4):
        output, score = StageOutput(logits=huge), confidence.member_score(fusion)
        if state is None:
            state = CascadeState.start(output, fusion, temperature, score)
        else:
            state = state.add(output, temperature, score)
    assert confidence(state).isfinite().all() and state.fused.probs.isfinite().all()


@pytest.mark.parametrize('name', ['energy', 'max_logit'])
def test_averaged_logits_have_no_score_per_member(name):
    confidence = CONFIDENCES[name]
    assert confidence.member_score('logit') is None and confidence.member_score('prob') is not None
    logits = torch.tensor([[1.0, 2.0], [4.0, -1.0]])
    assert torch.equal(confidence.function(logits), confidence.function(logits, 1.0))
