# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from mmcascade.calibration.fit.thresholds.operating_point import quantile_window
from mmcascade.registry import TASK_UTILS
from mmcascade.routing import AdjustedWindowPolicy, CachedStage, CascadeRouter, WindowPolicy
from mmcascade.routing.policies.adjusted_window_policy import MIN_SCORES, adjusted_window


@given(st.integers(0, 2**32 - 1), st.floats(0.25, 0.75), st.floats(0.0, 0.2))
@example(5336, 0.25, 0.1953125)
def test_away_from_the_ends_it_is_the_papers_quantile_window(seed, place, half_width):
    scores = np.sort(np.random.default_rng(seed).random(400))
    # The score at a quantile, and not any score between 0 and 1: of 400 random scores, 77 may lie below 0.25.
    for tau in (np.quantile(scores, place), scores[200]):
        assert adjusted_window(scores, tau, 2 * half_width) == pytest.approx(quantile_window(scores, tau, half_width))


def test_at_the_ends_the_papers_window_is_clipped_and_this_one_is_moved():
    scores = np.sort(np.random.default_rng(5336).random(400))
    assert (scores < 0.25).mean() == 0.1925
    moved, clipped = adjusted_window(scores, 0.25, 0.390625), quantile_window(scores, 0.25, 0.1953125)
    assert moved[0] == clipped[0] == scores[0]
    assert moved[1] == pytest.approx(np.quantile(scores, 0.390625))
    assert clipped[1] == pytest.approx(np.quantile(scores, 0.1925 + 0.1953125))


@given(st.integers(0, 2**32 - 1), st.floats(-1, 2), st.sampled_from([0.0, 0.05, 0.2, 0.5, 1.0]))
def test_the_share_is_held_wherever_tau_lies(seed, tau, share):
    scores = np.sort(np.random.default_rng(seed).random(1000))
    low, high = adjusted_window(scores, tau, share)
    assert ((scores >= low) & (scores <= high)).mean() == pytest.approx(share, abs=2e-3)
    if tau <= scores[0]:
        assert low == scores[0]
    if tau >= scores[-1]:
        assert high == scores[-1]


def policy(memory=400, share=0.2, windows=((0.4, 0.6),)):
    return AdjustedWindowPolicy(list(windows), tau=0.5, share=share, memory=memory)


def feed(stream_policy, scores, batch=50):
    """Who goes on, batch by batch."""
    parts = torch.from_numpy(np.float32(scores)).split(batch)
    return np.concatenate([stream_policy.go_on(0, part, torch.arange(len(part))).numpy() for part in parts])


def slow_feed(scores, batch, memory, tau, share, start):
    """The same with a plain list of recent scores and a sort per batch."""
    seen, going = [], []
    for first in range(0, len(scores), batch):
        part = np.float32(scores[first : first + batch])
        seen = (seen + part[np.isfinite(part)].tolist())[-memory:]
        low, high = start if len(seen) < MIN_SCORES else adjusted_window(np.sort(seen), tau, share)
        going += [np.float32(low) <= score <= np.float32(high) for score in part]
    return np.array(going)


def test_it_equals_a_slow_loop():
    rng = np.random.default_rng(0)
    scores = np.r_[rng.random(700), rng.beta(2, 5, 700)].round(2)  # with ties
    scores[::97] = -np.inf
    assert (feed(policy(), scores, 30) == slow_feed(scores, 30, 400, 0.5, 0.2, (0.4, 0.6))).all()


def test_the_deferred_share_survives_a_shift_that_the_fixed_window_does_not():
    rng = np.random.default_rng(1)
    shifted = 0.8 + 0.2 * rng.random(4000)  # everything far above the window
    assert feed(WindowPolicy([(0.4, 0.6)]), shifted).mean() == 0
    assert feed(policy(), shifted)[500:].mean() == pytest.approx(0.2, abs=0.03)


def test_it_forgets():
    rng = np.random.default_rng(2)
    stream = policy(memory=400)
    feed(stream, 0.01 * rng.random(400))
    feed(stream, rng.random(400))
    fresh = policy(memory=400)
    feed(fresh, np.random.default_rng(2).random(800)[400:])
    assert len(stream._sorted) == len(stream._recent) == 400
    assert stream._sorted == sorted(stream._recent)
    assert stream.window() == fresh.window()


def test_the_calibrated_window_decides_at_first():
    stream = policy()
    feed(stream, np.full(MIN_SCORES - 1, 0.9), 33)
    assert stream.window() == (0.4, 0.6)
    feed(stream, [0.9])
    assert stream.window() != (0.4, 0.6)


def test_other_gaps_keep_their_windows():
    three = policy(windows=((0.4, 0.6), (0.1, 0.2), None))
    feed(three, np.random.default_rng(0).random(300))
    assert three.go_on(1, torch.tensor([0.15, 0.5]), torch.arange(2)).tolist() == [True, False]
    assert three.is_closed(2)


def test_state_lives_in_the_stream():
    generator = torch.Generator().manual_seed(0)
    stages = [CachedStage(torch.randn(300, 5, generator=generator)) for _ in range(2)]
    config = dict(type='mmcascade.AdjustedWindowPolicy', windows=[(0.0, 0.1)], tau=0.4, share=0.3, memory=200)
    shared = TASK_UTILS.build(config)
    router = CascadeRouter(stages, shared)

    def whole_run():
        with router.stream() as stream:
            outcomes = []
            for start in range(0, 300, 60):
                outcomes += stream.submit([], range(start, start + 60))
            outcomes += stream.flush()
        return sorted((int(u), int(e)) for o in outcomes for u, e in zip(o.unit, o.exit_stage, strict=True))

    first = whole_run()
    assert whole_run() == first, 'a new stream starts anew'
    assert not shared._sorted, 'the policy of the config stays as it is'
    batches = [router.route([], range(start, start + 60)) for start in range(0, 300, 60)]
    assert [(int(u), int(e)) for o in batches for u, e in zip(o.unit, o.exit_stage, strict=True)] == first
    again = router.route([], range(60))
    assert again.exit_stage.sum() > 0 == batches[0].exit_stage.sum(), 'batches go on with the stream'
    router.restart()
    assert router.route([], range(60)).exit_stage.sum() == 0


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(windows=[None]), 'there must be one'),
        (dict(windows=[]), 'there must be one'),
        (dict(tau=float('nan')), 'tau, the score in the middle of the window, is a finite number'),
        (dict(share=1.5), r'^share, the part of the units that goes on, is a fraction in \[0, 1\], got 1.5'),
        (dict(memory=99), 'a whole number >= 100, got 99'),
        (dict(windows=[(0.6, 0.4)]), 'low > high'),
    ],
)
def test_bad_settings_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        AdjustedWindowPolicy(**dict(windows=[(0.4, 0.6)], tau=0.5, share=0.2) | change)
