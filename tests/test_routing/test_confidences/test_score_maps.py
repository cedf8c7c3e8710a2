# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import bisect
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcascade.routing import CachedStage, CascadeRouter, ScoreMap, WindowPolicy
from mmcascade.routing.confidences.score_maps import judged_score

MAP = ScoreMap([0.2, 0.5, 0.9], [0.1, 0.6, 0.95])


def slow_map(scores, values, score):
    """One score at a time, in plain Python."""
    span = max(scores[-1] - scores[0], abs(scores[-1]), 1e-6)
    if score < scores[0]:
        return values[0] / (1 + (scores[0] - score) / span)
    if score > scores[-1]:
        distance = (score - scores[-1]) / span
        return values[-1] + (1 - values[-1]) * distance / (1 + distance)
    if score == scores[-1]:
        return values[-1]
    k = bisect.bisect_right(scores, score)
    share = (score - scores[k - 1]) / (scores[k] - scores[k - 1])
    return values[k - 1] + share * (values[k] - values[k - 1])


@st.composite
def maps(draw):
    scores = sorted(draw(st.sets(st.integers(-50, 50), min_size=1, max_size=8)))
    values = sorted(draw(st.sets(st.integers(1, 999), min_size=len(scores), max_size=len(scores))))
    return ScoreMap([s / 10 for s in scores], [v / 1000 for v in values])


@settings(max_examples=60)
@given(maps(), st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=20))
def test_it_equals_the_slow_map_and_is_strictly_increasing(score_map, scores):
    scores = np.unique(np.float32(scores))
    mapped = score_map(torch.from_numpy(scores)).numpy()
    assert mapped == pytest.approx([slow_map(score_map.scores, score_map.values, float(s)) for s in scores], abs=1e-12)
    assert mapped.dtype == np.float64
    assert ((mapped > 0) & (mapped < 1)).all()
    # Scores closer than float64 can part after the map (denormals, say) may meet; none may change places.
    assert (np.diff(mapped) >= 0).all()
    apart = np.diff(scores.astype(float)) > 1e-6
    assert (np.diff(mapped)[apart] > 0).all()


def test_neighbouring_float32_scores_make_no_tie():
    scores = np.float32(0.7) + np.arange(2000, dtype=np.float32) * np.spacing(np.float32(0.7))
    assert (np.diff(MAP(torch.from_numpy(scores)).numpy()) > 0).all()


@pytest.mark.parametrize('knot', [-40.0, 12.5, 3e4])
def test_one_knot_keeps_unbounded_scores_apart(knot):
    scores = torch.linspace(knot - 1000, knot + 1000, 2001, dtype=torch.float64)
    neighbours = torch.tensor([1e4, 1e4 + 0.001, 1e4 + 0.002], dtype=torch.float32)
    for values in (scores, neighbours):
        assert (np.diff(ScoreMap([knot], [0.9])(values).numpy()) > 0).all()


def test_knots_are_met_and_units_without_a_score_stay_last():
    assert MAP(torch.tensor(MAP.scores, dtype=torch.float64)).tolist() == pytest.approx(MAP.values, abs=1e-15)
    assert MAP(torch.tensor([-math.inf, 0.2])).tolist() == [-math.inf, pytest.approx(0.1)]
    assert ScoreMap([0.5], [0.4])(torch.tensor([0.4, 0.5, 0.6])).diff().min() > 0


def test_it_goes_round_through_json():
    assert ScoreMap.from_json(MAP.to_json()) == MAP
    assert ScoreMap([0.2], [0.1]) != MAP


@pytest.mark.parametrize(
    'scores, values, message',
    [
        ([], [], 'at least one'),
        ([1.0], [0.5, 0.6], 'as many scores as values'),
        ([1.0, 1.0], [0.5, 0.6], 'scores of a score map are finite and strictly increasing'),
        ([1.0, math.inf], [0.5, 0.6], 'finite'),
        ([1.0, math.nan], [0.5, 0.6], 'finite'),
        ([1.0, 2.0], [0.6, 0.6], r'lie in \(0, 1\)'),
        ([1.0], [1.0], r'lie in \(0, 1\)'),
        ([1.0], [0.0], r'lie in'),
    ],
)
def test_bad_knots_are_named(scores, values, message):
    with pytest.raises(ValueError, match=message):
        ScoreMap(scores, values)


@pytest.fixture
def stages():
    generator = torch.Generator().manual_seed(0)
    return [CachedStage(torch.randn(200, 5, generator=generator) * k, macs=float(k)) for k in (2, 3)]


def test_the_router_maps_the_judged_score_by_exit_and_decides_on_the_raw_one(stages):
    policy = WindowPolicy([(0.4, 0.8)])
    other = ScoreMap([0.3, 0.9], [0.2, 0.7])
    raw = CascadeRouter(stages, policy).route([], range(200))
    mapped = CascadeRouter(stages, policy, maps=[MAP, other]).route([], range(200))
    assert (mapped.exit_stage == raw.exit_stage).all()
    assert 0 < mapped.exit_stage.mean() < 1
    assert torch.equal(mapped.probs, raw.probs)
    for score, before, stage in zip(mapped.confidence, raw.confidence, raw.exit_stage, strict=True):
        knots = (MAP, other)[stage]
        assert float(score) == pytest.approx(slow_map(knots.scores, knots.values, float(before)), abs=1e-12)


@pytest.mark.parametrize('maps', [None, [None, None]])
def test_no_map_leaves_every_bit(stages, maps):
    policy = WindowPolicy([(0.4, 0.8)])
    plain = CascadeRouter(stages, policy).route([], range(200))
    judged = CascadeRouter(stages, policy, maps=maps).route([], range(200))
    assert torch.equal(plain.confidence, judged.confidence)
    assert judged.confidence.dtype == torch.float32
    score = torch.rand(3)
    assert judged_score(maps, 0, score) is score


def test_one_map_per_stage(stages):
    with pytest.raises(ValueError, match='2 stages need as many score maps.* got 1'):
        CascadeRouter(stages, WindowPolicy([None]), maps=[MAP])
