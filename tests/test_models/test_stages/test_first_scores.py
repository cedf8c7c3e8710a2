# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import nn

from mmcascade.models.cascade_classifier import WindowCascadeClassifier
from mmcascade.models.stages.first_scores import check_first_scores
from mmcascade.routing import StageOutput

LOGITS = torch.tensor([[1.0, -2.0, 0.5], [3.0, 0.0, 0.0]])


def silent(output: StageOutput) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        check_first_scores('a', output)


@pytest.mark.parametrize(
    'logits',
    [
        LOGITS,
        LOGITS.log_softmax(1),
        LOGITS.abs(),
        torch.cat([LOGITS.softmax(1), LOGITS]),  # one row of probabilities is no proof
        torch.zeros(0, 3),
    ],
)
def test_logits(logits):
    silent(StageOutput(logits=logits))


@pytest.mark.parametrize('shape', [(2, 3), (2, 3, 5, 7)])
def test_a_member_without_a_finite_score_is_named(shape):
    with pytest.warns(UserWarning, match="member 'a' gave no finite score for any of its first 2 input"):
        check_first_scores('a', StageOutput(logits=torch.full(shape, math.nan)))


@pytest.mark.parametrize('side', [3, 300])
def test_pixels_are_looked_at_like_images(side):
    scores = torch.randn(2, 4, side, side)
    silent(StageOutput(logits=scores))
    with pytest.warns(UserWarning, match='look like probabilities'):
        check_first_scores('a', StageOutput(logits=scores.softmax(1)))
    scores[1] = math.nan
    silent(StageOutput(logits=scores))


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_a_softmax_taken_for_logits_is_named_once(dtype):
    class Soft(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :5].to(dtype).softmax(1)

    cascade = WindowCascadeClassifier(dict(mine=Soft()), [dict(member='mine', macs=1.0)])
    with pytest.warns(UserWarning, match="member 'mine'.*look like probabilities") as caught:
        for _ in range(3):
            cascade.test_step(dict(inputs=torch.rand(2, 3, 4, 4)))
    assert len([w for w in caught if 'probabilities' in str(w.message)]) == 1


def test_probabilities():
    silent(StageOutput(probabilities=LOGITS.softmax(1)))
    silent(StageOutput(probabilities=torch.randn(4, 1000).bfloat16().softmax(1).float()))
    silent(StageOutput(probabilities=torch.tensor([[math.nan] * 3, [0.2, 0.3, 0.5]])))


@pytest.mark.parametrize('row', [[70.0, 30.0], [1.5, -0.5], [0.0, 0.0], [0.9, 0.9]])
def test_probabilities_that_are_none(row):
    good = [0.5, 0.5]
    with pytest.raises(ValueError, match=rf"'probabilities' that are none.*sums to {sum(row):.4g}"):
        check_first_scores('a', StageOutput(probabilities=torch.tensor([good, row])))
