# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The confidence of cells against a loop over their pixels, and the rules for cells that have none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcascade.registry import TASK_UTILS
from mmcascade.routing import (
    CONFIDENCES,
    FUSIONS,
    CascadeState,
    CellBudgetPolicy,
    CellConfidence,
    Confidence,
    QuantileReducer,
    RandomPolicy,
    StageOutput,
    ThresholdPolicy,
    WindowPolicy,
)
from mmcascade.routing.policies.policies import going_on
from tests.support.references.loop_segmentor import cell_score, goes_on


def maps(seed, stages=2, cells=3, classes=4, height=5, width=6, scale=3.0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(cells, classes, height, width, generator=generator) * scale for _ in range(stages)]


def state_of(logits, fusion, confidence, valid=None):
    score = confidence.member_score(fusion)
    state = CascadeState.start(StageOutput(logits=logits[0], valid=valid), fusion, 1.0, score)
    for z in logits[1:]:
        state = state.add(StageOutput(logits=z, valid=valid), 1.0, score)
    return state


@pytest.mark.parametrize('fusion', FUSIONS)
@pytest.mark.parametrize('pixel', CONFIDENCES)
@settings(max_examples=8)
@given(seed=st.integers(0, 10**6), t_unk=st.sampled_from([None, 0.0, 0.5, 0.8, 0.999]), stages=st.integers(1, 3))
def test_equals_a_loop_over_pixels(pixel, fusion, seed, t_unk, stages):
    logits = maps(seed, stages)
    valid = torch.rand(3, 5, 6, generator=torch.Generator().manual_seed(seed)) < 0.6
    valid[0] = True
    confidence = CellConfidence(pixel, t_unk=t_unk)
    found = confidence(state_of(logits, fusion, confidence, valid))
    for cell in range(3):
        # Pixels of a loop stand in one row; those of other cells are left out before anything else.
        scores = [z[cell].double().numpy()[:, valid[cell].numpy()][:, None] for z in logits]
        expected = cell_score(pixel, scores, fusion, t_unk)
        assert float(found[cell]) == pytest.approx(expected, rel=1e-4, abs=1e-5, nan_ok=True)


def test_pixels_at_t_unk_do_not_count():
    logits = torch.zeros(1, 2, 1, 4)  # probability 0.5 exactly
    logits[0, 0, 0, 3] = 30.0
    assert CellConfidence(t_unk=0.5)(state_of([logits], 'prob', CellConfidence())).item() == 1
    assert CellConfidence(t_unk=None)(state_of([logits], 'prob', CellConfidence())).item() == pytest.approx(0.625)
    # On the scale of the largest probability, whatever a pixel's confidence is.
    entropy = CellConfidence('neg_entropy')
    assert entropy(state_of([logits], 'prob', entropy)).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize('fusion', FUSIONS)
@pytest.mark.parametrize('pixel', CONFIDENCES)
def test_empty_is_nan_and_nothing_finite_is_minus_infinity(pixel, fusion):
    first, second = maps(0, 2, cells=4)
    first[0], second[0] = 0.0, 0.0  # no pixel is certain
    first[1, 2, 3, 3] = torch.nan  # broken, and repaired by the second
    first[2, 0, 0, 0] = torch.inf  # broken for good
    second[2, 1, 1, 1] = -torch.inf
    confidence = CellConfidence(pixel)
    after_first = confidence(state_of([first], fusion, confidence))
    after_both = confidence(state_of([first, second], fusion, confidence))
    assert after_first[0].isnan() and after_both[0].isnan()
    assert after_first[1] == after_first[2] == after_both[2] == -torch.inf
    assert after_both[1] == pytest.approx(cell_score(pixel, [second[1].double().numpy()], fusion), rel=1e-4)
    assert after_both[3].isfinite()


@settings(max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    stride=st.integers(1, 9),
    bottom=st.integers(1, 9),
    right=st.integers(1, 9),
)
def test_a_stride_finds_a_pixel_of_every_cell(seed, height, width, stride, bottom, right):
    """Small cells lie at the end of their frames; however small, they are not empty."""
    logits = maps(seed, 1, 1, height=height, width=width)
    valid = torch.zeros(1, height, width, dtype=torch.bool)
    valid[..., -bottom:, -right:] = True
    found = CellConfidence(t_unk=None, stride=stride)(state_of(logits, 'prob', CellConfidence(), valid))
    best = logits[0].softmax(1).amax(1)[0]
    looked_at = [
        best[y, x].item()
        for y in range(height)
        for x in range(width)
        if valid[0, y, x] and (height - 1 - y) % stride == 0 and (width - 1 - x) % stride == 0
    ]
    assert found.item() == pytest.approx(np.mean(looked_at), rel=1e-5)


@pytest.mark.parametrize('pixel', CONFIDENCES)
@pytest.mark.parametrize('fusion', FUSIONS)
def test_a_stride_agrees_where_maps_were_enlarged_by_it(pixel, fusion):
    generator = torch.Generator().manual_seed(1)
    features = [
        torch.nn.functional.interpolate(torch.randn(24, 5, 4, 4, generator=generator), (16, 16), mode='bicubic')
        for _ in range(2)
    ]
    certain = torch.linspace(0.5, 5, 24).view(-1, 1, 1, 1)
    logits = [torch.nn.functional.interpolate(x * certain, scale_factor=4, mode='bilinear') for x in features]
    every, fourth = CellConfidence(pixel, t_unk=None), CellConfidence(pixel, t_unk=None, stride=4)
    full, thinned = (c(state_of(logits, fusion, c)) for c in (every, fourth))
    if fusion == 'replace' and CONFIDENCES[pixel].least_members > 1:
        assert full.eq(full[0]).all() and torch.equal(full, thinned), 'the last member speaks alone'
        return
    assert not torch.equal(full, thinned)
    steps = pixel in ('neg_variation_ratio', 'agreement')  # between two pixels votes jump
    assert np.corrcoef(full, thinned)[0, 1] > (0.97 if steps else 0.99)
    assert (full - thinned).abs().max() < (0.1 if steps else 0.05) * (full.max() - full.min())


POLICIES = [
    WindowPolicy([(None, None)]),
    WindowPolicy([(None, 0.7)]),
    WindowPolicy([(0.7, None)]),
    WindowPolicy([(0.6, 0.8)]),
    ThresholdPolicy([0.7]),
    RandomPolicy([0.0]),
    RandomPolicy([1.0]),
    CellBudgetPolicy([(None, None)], 100),
]


@pytest.mark.parametrize('empty', ['go_on', 'exit'])
@pytest.mark.parametrize('policy', POLICIES, ids=repr)
def test_cells_without_a_score_are_decided_before_the_policy(policy, empty):
    confidence = torch.tensor([0.5, 0.65, 0.75, 0.9, torch.nan, -torch.inf, torch.nan])
    finite = confidence != -torch.inf
    unit = torch.arange(7)
    going = going_on(policy, 0, confidence, finite, unit, empty)
    assert going[[4, 6]].tolist() == [empty == 'go_on'] * 2
    assert going[5]
    assert torch.equal(going[:4], policy.go_on(0, confidence[:4], unit[:4]))
    if isinstance(policy, WindowPolicy):
        expected = [goes_on(policy.rules[0], score, empty) for score in confidence.tolist()]
        assert [bool(g) for g, f in zip(going, finite, strict=True) if f] == [
            e for e, f in zip(expected, finite, strict=True) if f
        ]


def test_names_tell_settings_apart():
    made = [
        CellConfidence(),
        CellConfidence('prob_gap'),
        CellConfidence(reduce='quantile'),
        CellConfidence(t_unk=None),
        CellConfidence(t_unk=0.6),
        CellConfidence(empty='exit'),
        CellConfidence(stride=4),
        CellConfidence(reduce=QuantileReducer(0.2)),
    ]
    assert len({c.name for c in made}) == len(made)
    assert made[0].name == 'mean of max_prob over pixels above 0.5, else go_on'
    assert CellConfidence('energy').needs_logits and not CellConfidence().needs_logits


def test_found_by_name_in_configs():
    built = TASK_UTILS.build(dict(type='mmcascade.CellConfidence', pixel='energy', t_unk=None))
    assert isinstance(built, CellConfidence) and built.pixel is CONFIDENCES['energy']


class Features(Confidence):
    needs_features = True

    def score(self, state):
        return state.features.sum(1)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(pixel='msp'), "unknown confidence 'msp'"),
        (dict(pixel=Features()), 'features of whole images'),
        (dict(reduce='median'), "unknown reducer 'median'"),
        (dict(t_unk=1), r't_unk is a probability in \[0, 1\)'),
        (dict(t_unk=-0.1), 't_unk'),
        (dict(t_unk=True), 't_unk'),
        (dict(t_unk='0.5'), 't_unk'),
        (dict(empty='stay'), "'go_on', 'exit'.*got 'stay'"),
        (dict(stride=0), 'stride'),
        (dict(stride=1.5), 'stride'),
        (dict(stride=True), 'stride'),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        CellConfidence(**options)


def test_pixels_of_averaged_logits_have_no_score_per_member():
    confidence = CellConfidence('energy')
    assert confidence.member_score('logit') is None and confidence.member_score('prob') is not None
