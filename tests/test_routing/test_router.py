# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The router over cached stages against the plain loop, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcascade.routing import (
    CONFIDENCES,
    FUSIONS,
    CachedStage,
    CascadeRouter,
    RandomPolicy,
    StageOutput,
    ThresholdPolicy,
    WindowPolicy,
)
from tests.support.references.loop_cascade import loop_cascade


def random_logits(seed, stages, n=41, classes=7, scale=4.0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, classes, generator=generator) * scale for _ in range(stages)]


def router_for(logits, policy, confidence='max_prob', fusion='prob', batch_sizes=None, macs=None):
    batch_sizes = batch_sizes or [None] * len(logits)
    macs = macs or [float(10**k) for k in range(len(logits))]
    stages = [CachedStage(z, macs=m, batch_size=b) for z, m, b in zip(logits, macs, batch_sizes, strict=True)]
    return CascadeRouter(stages, policy, confidence, fusion)


def windows_between_scores(logits, confidence, fusion, generator):
    """Random windows whose ends are scores that really occur, closed and open gaps among them."""
    windows = []
    for gap in range(len(logits) - 1):
        kind = generator.integers(6)
        if kind == 0:
            windows.append(None)
        elif kind == 1:
            windows.append((None, None))
        else:
            scores = [
                r['confidence']
                for r in loop_cascade([z.numpy() for z in logits[: gap + 1]], [(None, None)] * gap, confidence, fusion)
            ]
            low, high = sorted(float(s) for s in generator.choice(scores, 2))
            windows.append((None if kind == 2 else low, None if kind == 3 else high))
    return windows


def assert_equals_loop(outcome, expected):
    assert len(outcome) == len(expected)
    np.testing.assert_array_equal(outcome.exit_stage, [r['exit_stage'] for r in expected])
    np.testing.assert_array_equal(outcome.probs.numpy(), np.stack([r['probs'] for r in expected]))
    np.testing.assert_array_equal(outcome.confidence.numpy(), [r['confidence'] for r in expected])
    np.testing.assert_array_equal(outcome.macs, [r['macs'] for r in expected])
    np.testing.assert_array_equal(outcome.finite_stages.numpy(), [r['finite'] for r in expected])


@pytest.mark.parametrize('fusion', FUSIONS)
@pytest.mark.parametrize('confidence', CONFIDENCES)
@pytest.mark.parametrize('stages', [2, 3, 4])
def test_routing_is_bit_equal_to_the_loop(stages, confidence, fusion):
    generator = np.random.default_rng(stages)
    logits = random_logits(stages, stages)
    for _ in range(4):
        windows = windows_between_scores(logits, confidence, fusion, generator)
        router = router_for(logits, WindowPolicy(windows), confidence, fusion)
        expected = loop_cascade(
            [z.numpy() for z in logits], windows, confidence, fusion, [float(10**k) for k in range(stages)]
        )
        assert_equals_loop(router.route([], range(len(logits[0]))), expected)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    stages=st.integers(1, 5),
    batch_sizes=st.lists(st.one_of(st.none(), st.integers(1, 9)), min_size=5, max_size=5),
    loader_batch=st.integers(1, 45),
    fusion=st.sampled_from(FUSIONS),
)
def test_batching_changes_nothing(seed, stages, batch_sizes, loader_batch, fusion):
    """Joined and split batches give what one batch gives, every unit exactly once."""
    generator = np.random.default_rng(seed)
    logits = random_logits(seed, stages)
    windows = windows_between_scores(logits, 'max_prob', fusion, generator)
    n = len(logits[0])
    whole = router_for(logits, WindowPolicy(windows), fusion=fusion).route([], range(n))
    router = router_for(logits, WindowPolicy(windows), fusion=fusion, batch_sizes=batch_sizes[:stages])
    outcomes = []
    with router.stream() as stream:
        for start in range(0, n, loader_batch):
            outcomes += stream.submit([], range(start, min(n, start + loader_batch)))
        outcomes += stream.flush()
        assert stream.waiting == 0
    joined = type(whole).cat(outcomes).in_order()
    np.testing.assert_array_equal(joined.unit, np.arange(n))
    np.testing.assert_array_equal(joined.ticket, whole.ticket)
    np.testing.assert_array_equal(joined.exit_stage, whole.exit_stage)
    np.testing.assert_array_equal(joined.macs, whole.macs)
    assert torch.equal(joined.probs, whole.probs)
    assert torch.equal(joined.confidence, whole.confidence)


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), stages=st.integers(2, 4), fusion=st.sampled_from(['prob', 'logit']))
def test_everybody_on_is_plain_averaging_and_nobody_on_is_member_zero(seed, stages, fusion):
    logits = random_logits(seed, stages)
    n = len(logits[0])
    everybody = router_for(logits, WindowPolicy([(None, None)] * (stages - 1)), fusion=fusion)
    average = sum(z.softmax(1) for z in logits) / stages if fusion == 'prob' else (sum(logits) / stages).softmax(1)
    outcome = everybody.route([], range(n))
    torch.testing.assert_close(outcome.probs, average)
    assert (outcome.exit_stage == stages - 1).all()
    assert (outcome.macs == sum(10**k for k in range(stages))).all()
    full = router_for(logits, ThresholdPolicy([1] * (stages - 1)), fusion=fusion).route([], range(n))
    assert torch.equal(full.probs, outcome.probs)

    nobody = router_for(logits, WindowPolicy([None] * (stages - 1)), fusion=fusion).route([], range(n))
    assert torch.equal(nobody.probs, logits[0].softmax(1))
    assert (nobody.exit_stage == 0).all()
    assert (nobody.macs == 1).all()


def test_threshold_one_is_the_ensemble_where_scores_saturate():
    logits = [torch.tensor([[200.0, 0.0], [0.0, 300.0]])] * 2
    outcome = router_for(logits, ThresholdPolicy([1.0])).route([], range(2))
    assert (outcome.confidence == 1).all()
    assert (outcome.exit_stage == 1).all()


@pytest.mark.parametrize('fusion', FUSIONS)
@pytest.mark.parametrize('confidence', CONFIDENCES)
def test_non_finite_output_follows_the_rule(confidence, fusion):
    logits = random_logits(5, 3, n=6)
    logits[0][0, 2] = torch.nan  # first stage broken: goes on unasked
    logits[1][1, 0] = torch.inf  # second broken: left out of the mean
    for z in logits:
        z[2, 1] = -torch.inf  # nothing finite at all
    logits[0][3] = torch.nan
    logits[1][3] = torch.nan  # only the last is finite
    windows = [(1e9, None), (None, None)]  # the policy alone would let nobody pass the first gap
    outcome = router_for(logits, WindowPolicy(windows), confidence, fusion).route([], range(6))
    expected = loop_cascade([z.numpy() for z in logits], windows, confidence, fusion, [1.0, 10.0, 100.0])
    assert_equals_loop(outcome, expected)
    assert outcome.exit_stage.tolist() == [2, 0, 2, 2, 0, 0]
    assert outcome.finite_stages.tolist() == [2, 1, 0, 1, 1, 1]
    assert outcome.confidence[2] == -torch.inf
    assert torch.equal(outcome.probs[2], torch.full((7,), 1 / 7))
    closed = router_for(logits, WindowPolicy([None, None]), confidence, fusion).route([], range(6))
    assert (closed.exit_stage == 0).all(), 'a closed gap holds for units without finite output, too'


@pytest.mark.parametrize('confidence', CONFIDENCES)
@pytest.mark.parametrize('fusion', FUSIONS)
def test_confidence_is_finite_for_finite_logits(confidence, fusion):
    rows = torch.tensor([[3e38, -3e38, 0], [3e38, 3e38, 3e38], [-3e38] * 3, [0, 0, 0], [1e4, -1e4, 3.0]])
    outcome = router_for([rows, -rows], WindowPolicy([(None, None)]), confidence, fusion).route([], range(5))
    assert outcome.confidence.isfinite().all()
    assert outcome.probs.isfinite().all()
    assert outcome.finite_stages.tolist() == [2] * 5


def test_half_precision_outputs_are_scored_in_float32():
    logits = [z.half() for z in random_logits(1, 2)]
    with torch.autocast('cpu', dtype=torch.bfloat16):
        outcome = router_for(logits, WindowPolicy([(None, None)]), 'neg_entropy').route([], range(41))
    assert outcome.confidence.dtype == outcome.probs.dtype == torch.float32
    expected = loop_cascade([z.float().numpy() for z in logits], [(None, None)], 'neg_entropy')
    np.testing.assert_array_equal(outcome.confidence.numpy(), [r['confidence'] for r in expected])


class RecordingStage:
    """Reads one view and remembers the rows it was given."""

    temperature = 1.0
    by_source = False

    def __init__(self, view, batch_size=None):
        self.views = (view,)
        self.view = view
        self.batch_size = batch_size
        self.seen = []

    def __call__(self, batch):
        rows = batch.view(self.view)
        self.seen.append(rows.clone())
        return StageOutput(logits=torch.stack([rows, -rows], 1), macs=1.0)


@pytest.mark.parametrize('size', [None, 2, 3, 100])
def test_stages_see_exactly_the_rows_that_survive(size):
    views = [torch.arange(10.0), torch.arange(10.0) + 100]
    first, second = RecordingStage(0), RecordingStage(1, size)
    policy = RandomPolicy([0.5], seed=3)
    router = CascadeRouter([first, second], policy)
    going = policy.go_on(0, torch.zeros(10), torch.arange(10))
    assert 0 < going.sum() < 10
    with router.stream() as stream:
        for start in range(0, 10, 5):
            inputs = [v[start : start + 5].clone() for v in views]
            stream.submit(inputs, range(start, start + 5))
            for view in inputs:
                view.fill_(-1)  # a waiting unit must not depend on the submitted tensors
        stream.flush()
    assert torch.equal(torch.cat(first.seen), views[0])
    assert torch.equal(torch.cat(second.seen), views[1][going])
    assert all(len(rows) for rows in second.seen), 'nothing runs on an empty batch'
    if size:
        assert all(len(rows) == size for rows in second.seen[:-1])


def test_waiting_units_do_not_pin_their_batch():
    views = [torch.arange(8.0), torch.arange(8.0)]
    router = CascadeRouter([RecordingStage(0), RecordingStage(1, 100)], RandomPolicy([0.5], seed=3))
    with router.stream() as stream:
        stream.submit(views, range(8))
        (waiting,) = stream._queues[1]
        assert [v is None for v in waiting.sources[0].views] == [True, False]
        assert waiting.sources[0].views[1].untyped_storage().nbytes() == 4 * len(waiting)
        stream.flush()


def test_an_exception_leaves_nothing_behind():
    class Broken(RecordingStage):
        def __call__(self, batch):
            raise ArithmeticError('no')

    router = CascadeRouter([RecordingStage(0), Broken(0)], WindowPolicy([(None, None)]))
    stream = router.stream()
    with pytest.raises(ArithmeticError), stream:
        stream.submit([torch.arange(3.0)], range(3))
    assert stream.waiting == 0
    router.stages[1] = RecordingStage(0)
    assert len(router.route([torch.arange(3.0)])) == 3


def test_closing_with_waiting_units_is_an_error():
    router = CascadeRouter([RecordingStage(0, batch_size=5)], WindowPolicy([]))
    with pytest.raises(RuntimeError, match='3 units were still waiting.*flush'), router.stream() as stream:
        stream.submit([torch.arange(3.0)])


def test_empty_batch_runs_nothing():
    stage = RecordingStage(0)
    assert CascadeRouter([stage], WindowPolicy([])).route([torch.zeros(0)]) is None
    assert stage.seen == []


def test_one_stage_needs_no_gap():
    outcome = router_for(random_logits(0, 1), WindowPolicy([])).route([], range(41))
    assert (outcome.exit_stage == 0).all()


@pytest.mark.parametrize(
    'build, message',
    [
        (lambda: router_for([], WindowPolicy([])), 'at least one stage'),
        (lambda: router_for(random_logits(0, 3), WindowPolicy([(0, 1)])), r'2 gaps.*decides 1'),
        (lambda: router_for(random_logits(0, 1), WindowPolicy([]), 'msp'), "unknown confidence 'msp'.*max_prob"),
        (lambda: router_for(random_logits(0, 1), WindowPolicy([]), fusion='mean'), "unknown fusion 'mean'.*prob"),
    ],
)
def test_bad_input_at_build_time(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_bad_input_at_run_time():
    router = CascadeRouter([RecordingStage(0), RecordingStage(2)], WindowPolicy([None]))
    with pytest.raises(ValueError, match='stage 1 reads view 2, but the pipeline makes 2'):
        router.route([torch.zeros(3), torch.zeros(3)])
    router = CascadeRouter([RecordingStage(0)], WindowPolicy([]))
    with pytest.raises(ValueError, match='same number of units'):
        router.route([torch.zeros(3), torch.zeros(4)])
    with pytest.raises(ValueError, match='same number of units'):
        router.route([torch.zeros(3)], [1, 2])
    narrow = CachedStage(torch.zeros(3, 5))
    with pytest.raises(ValueError, match=r'stage 1 gives scores of shape \(3, 5\).*\(3, 7\)'):
        CascadeRouter([CachedStage(torch.zeros(3, 7)), narrow], WindowPolicy([(None, None)])).route([], range(3))
    probabilities = CachedStage(torch.full((3, 2), 0.5), is_logits=False)
    with pytest.raises(ValueError, match='needs logits'):
        CascadeRouter([probabilities], WindowPolicy([]), 'energy').route([], range(3))
