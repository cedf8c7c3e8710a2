# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch

from mmcascade.routing import CONFIDENCES, CascadeState, StageOutput


def test_exactly_one_kind_of_scores():
    with pytest.raises(ValueError, match='got neither'):
        StageOutput()
    with pytest.raises(ValueError, match='got both'):
        StageOutput(logits=torch.zeros(1, 2), probabilities=torch.zeros(1, 2))
    with pytest.raises(ValueError, match=r'got shape \(3,\)'):
        StageOutput(logits=torch.zeros(3))


def test_probabilities_are_kept_to_the_bit():
    probs = torch.randn(5, 4).softmax(1)
    state = CascadeState.start(StageOutput(probabilities=probs), 'prob')
    assert torch.equal(state.fused.probs, probs)


def test_temperature_of_logits_and_of_probabilities_agree():
    logits = torch.randn(6, 5) * 3
    a = CascadeState.start(StageOutput(logits=logits), 'prob', 2.5).fused.probs
    b = CascadeState.start(StageOutput(probabilities=logits.softmax(1)), 'prob', 2.5).fused.probs
    torch.testing.assert_close(a, (logits / 2.5).softmax(1))
    torch.testing.assert_close(a, b)


def test_energy_of_a_member_is_on_the_scale_of_its_logits():
    logits = torch.randn(6, 5) * 3
    state = CascadeState.start(StageOutput(logits=logits), 'prob', 2.0, CONFIDENCES['energy'].member_score('prob'))
    torch.testing.assert_close(state.member_score, 2.0 * (logits / 2.0).logsumexp(1))
    with pytest.raises(ValueError, match='keeps no member scores'):
        CascadeState.start(StageOutput(logits=logits), 'prob').member_score  # noqa: B018


@pytest.mark.parametrize('fusion', ['prob', 'logit', 'replace'])
def test_maps_fuse_like_their_pixels(fusion):
    a, b = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    maps = CascadeState.start(StageOutput(logits=a), fusion).add(StageOutput(logits=b))

    def flat(x):
        return x.permute(0, 2, 3, 1).reshape(-1, 3)

    pixels = CascadeState.start(StageOutput(logits=flat(a)), fusion).add(StageOutput(logits=flat(b)))
    torch.testing.assert_close(flat(maps.fused.probs), pixels.fused.probs)
    assert maps.finite.tolist() == [2, 2]


def test_select_and_cat_undo_each_other():
    first = CascadeState.start(
        StageOutput(logits=torch.randn(5, 3), features=torch.randn(5, 2)),
        'prob',
        1.0,
        CONFIDENCES['energy'].member_score('prob'),
    )
    parts = [first.select(torch.tensor([0, 1])), first.select(torch.tensor([2, 3, 4]))]
    joined = CascadeState.cat(parts)
    for name in ('total', 'score_total', 'finite', 'features'):
        assert torch.equal(getattr(joined, name), getattr(first, name))


@pytest.mark.parametrize('temperature', [0.01, 0.5, 1.0, 20.0])
def test_logits_over_a_temperature_stay_within_the_bound(temperature):
    logits = torch.tensor([[9e29, 0.0], [3e38, -3e38], [2.0, 1.0]])
    for rows in (logits, logits[:1], logits[2:]):
        scaled = StageOutput(logits=rows).scaled_logits(temperature)
        expected = (rows.double() / temperature).clamp(-1e30, 1e30)
        torch.testing.assert_close(scaled.double(), expected, rtol=1e-6, atol=0)
