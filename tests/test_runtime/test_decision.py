# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The runtime of a bundle decides as the router does."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmcascade import routing
from mmcascade.engine.predict.deciders.running_scores import RunningScores
from mmcascade.routing import (
    CachedStage,
    CascadeRouter,
    CascadeState,
    RandomPolicy,
    ScoreMap,
    StageOutput,
    ThresholdPolicy,
    WindowPolicy,
    build_confidence,
)
from mmcascade.runtime.description.manifest import Manifest
from mmcascade.runtime.fields import Fields
from mmcascade.runtime.running.image_route import route
from tests.support.bundles import manifest, numbered_images

CONFIDENCES = tuple(routing.CONFIDENCES)
MAP = {'scores': [0.2, 0.5, 0.9], 'values': [0.1, 0.6, 0.8]}


def both(scores, *, kinds, temperatures, **changes):
    """The same cascade by the router and by the runtime."""
    data = manifest(len(scores), scores[0].shape[1], **changes)
    for stage, kind, temperature in zip(data['stages'], kinds, temperatures, strict=True):
        stage.update(output=kind, temperature=temperature)
    stages = [
        CachedStage(torch.from_numpy(x), is_logits=kind == 'logits', macs=stage['macs'], temperature=temperature)
        for x, kind, temperature, stage in zip(scores, kinds, temperatures, data['stages'], strict=True)
    ]
    rules = data['policy']
    policy = {
        'window': lambda: WindowPolicy([w and tuple(w) for w in rules['windows']]),
        'threshold': lambda: ThresholdPolicy(rules['thresholds']),
        'random': lambda: RandomPolicy(rules['rates'], rules['seed']),
    }[rules['type']]()
    maps = data['maps'] and [m and ScoreMap.from_json(m) for m in data['maps']]
    router = CascadeRouter(stages, policy, data['confidence'], data['fusion'], maps)
    count = len(scores[0])
    running = RunningScores()
    with running.watching(router):
        expected = router.route([torch.zeros(count, 1)])
    runs = [lambda images, x=x: x[images[:, 0, 0, 0]] for x in scores]
    routed = route(Manifest.read(Fields(data, 'cascade.json')), runs, numbered_images(count))
    return expected, routed, running.of(count)


@st.composite
def cascades(draw):
    count, classes, stages = draw(st.integers(1, 12)), draw(st.integers(2, 5)), draw(st.integers(1, 4))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    confidence = draw(st.sampled_from(CONFIDENCES))
    may_be_probabilities = confidence not in ('energy', 'max_logit')
    kinds = [
        draw(st.sampled_from(['logits', 'probabilities'])) if may_be_probabilities else 'logits' for _ in range(stages)
    ]
    scale = draw(st.sampled_from([1.0, 30.0, 1e20, 3e38]))
    scores = []
    for kind in kinds:
        x = (rng.uniform(-1, 1, (count, classes)) * scale).astype(np.float32)
        if kind == 'probabilities':
            x = rng.dirichlet(np.full(classes, 0.3), count).astype(np.float32)
        x[rng.random(count) < draw(st.sampled_from([0.0, 0.4]))] = draw(st.sampled_from([np.nan, np.inf, -np.inf]))
        scores.append(x)
    rules = st.one_of(
        st.none(),
        st.tuples(st.one_of(st.none(), st.floats(-1, 0.5)), st.one_of(st.none(), st.floats(0.5, 2))).map(list),
    )
    policy = draw(
        st.one_of(
            st.lists(rules, min_size=stages - 1, max_size=stages - 1).map(lambda w: {'type': 'window', 'windows': w}),
            st.lists(st.one_of(st.none(), st.floats(-1, 1)), min_size=stages - 1, max_size=stages - 1).map(
                lambda t: {'type': 'threshold', 'thresholds': t}
            ),
            st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=stages - 1, max_size=stages - 1).map(
                lambda r: {'type': 'random', 'rates': r, 'seed': seed}
            ),
        )
    )
    return scores, dict(
        kinds=kinds,
        temperatures=[draw(st.sampled_from([1.0, 0.5, 3.0])) for _ in range(stages)],
        confidence=confidence,
        fusion=draw(st.sampled_from(['prob', 'logit', 'replace'])),
        policy=policy,
        maps=draw(st.sampled_from([None, [MAP] * stages, [None] * (stages - 1) + [MAP]])),
    )


def nearest_bound(scores, *, kinds, temperatures, confidence, fusion, policy, **_):
    """How far each unit's running scores are from the bounds that they are compared with, relative, ``(N)``."""
    rule = build_confidence(confidence)
    state, distance = None, np.full(len(scores[0]), np.inf)
    for gap, (x, kind, temperature) in enumerate(zip(scores, kinds, temperatures, strict=True)):
        output = StageOutput(**{kind: torch.from_numpy(x)})
        arguments = (temperature, rule.member_score(fusion))
        state = CascadeState.start(output, fusion, *arguments) if state is None else state.add(output, *arguments)
        rules = policy.get('windows') or [[t] for t in policy.get('thresholds', [])]
        for bound in (rules[gap] or ()) if gap < len(rules) else ():
            if bound is not None:
                score = rule(state).double().numpy()
                distance = np.fmin(distance, np.abs(score - bound) / max(abs(bound), 1e-3))
    return distance


@given(cascades())
def test_decides_as_the_router(case):
    scores, options = case
    with np.errstate(all='ignore'):
        expected, routed, running = both(scores, **options)
    # Two float32 softmaxes may differ by a rounding, which only a score on a bound feels.
    same = routed.exit_stage == expected.exit_stage
    assert (same | (nearest_bound(scores, **options) < 1e-5)).all()
    score = expected.confidence.double().numpy()[same]
    np.testing.assert_allclose(routed.confidence[same], score, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(routed.probs[same], expected.probs.numpy()[same], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(routed.macs[same], expected.macs[same])
    np.testing.assert_array_equal(routed.finite_stages[same], expected.finite_stages.numpy()[same])
    for stage, told in enumerate(routed.running):
        for unit, confidence in zip(told.rows.tolist(), told.confidence.tolist(), strict=True):
            if same[unit]:
                np.testing.assert_allclose(confidence, running[unit][stage].confidence, rtol=2e-5, atol=1e-6)
    assert [len(scores) for scores in running] == (expected.exit_stage + 1).tolist()


def test_bounds_are_inclusive_and_compared_as_float32():
    half = np.log(np.array([[0.5, 0.25, 0.25]], np.float32))
    for window, stage in (([0.5, 0.6], 1), ([0.4, 0.5], 1), ([0.500001, None], 0), ([None, 0.49999], 0), (None, 0)):
        policy = {'type': 'window', 'windows': [window]}
        expected, routed, _ = both([half, half], kinds=['logits'] * 2, temperatures=[1, 1], policy=policy)
        assert routed.exit_stage[0] == expected.exit_stage[0] == stage


def test_later_views_are_made_for_survivors_only():
    scores = [np.array([[0.0, 9.0], [0.0, 0.1], [9.0, 0.0]], np.float32), np.zeros((3, 2), np.float32)]
    data = manifest(2, 2, policy={'type': 'window', 'windows': [[None, 0.9]]})
    data['views'].append({'channels': 'rgb', 'steps': []})
    data['stages'][1]['view'] = 1
    seen = []
    runs = [lambda x: scores[0][x[:, 0, 0, 0]], lambda x: seen.extend(x[:, 0, 0, 0]) or scores[1][x[:, 0, 0, 0]]]
    routed = route(Manifest.read(Fields(data, 'cascade.json')), runs, numbered_images(3))
    assert seen == [1] and routed.exit_stage.tolist() == [0, 1, 0]
