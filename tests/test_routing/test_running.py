# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How a router runs its stages: the numbers of units, parts of batches, precision, and units that are empty."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmcascade.routing import CachedStage, CascadeRouter, Confidence, StageOutput, WindowPolicy

OPEN = WindowPolicy([(None, None)])


class Halves:
    """A stage that is run on one half of a batch after the other."""

    views, by_source, temperature, batch_size = (0,), False, 1.0, None

    def __init__(self):
        self.seen = []

    def __call__(self, batch):
        self.seen.append(len(batch))
        return StageOutput(logits=batch.view(0).float(), macs=1.0)

    def parts(self, batch):
        return batch.split(len(batch) // 2)


class Seen(Confidence):
    """The first logit, NaN above 1; notes whether autocast is on."""

    name, least_members = 'seen', 1

    def __init__(self, empty=None):
        self.empty, self.autocast = empty, set()

    def score(self, state):
        self.autocast.add(torch.is_autocast_enabled('cpu'))
        first = state.total[:, 0].float()
        return torch.where(first > 1, torch.nan, first)


def test_units_without_numbers_are_counted_from_zero():
    router = CascadeRouter([Halves()], WindowPolicy([]))
    with router.stream() as stream:
        outcomes = [outcome for part in torch.randn(6, 3).split(4) for outcome in stream.submit([part])]
    assert np.concatenate([outcome.unit for outcome in outcomes]).tolist() == [0, 1, 2, 3, 4, 5]
    assert np.concatenate([outcome.ticket for outcome in outcomes]).tolist() == [0, 1, 2, 3, 4, 5]


def test_a_stage_runs_on_the_parts_that_it_cuts():
    stage, images = Halves(), torch.randn(6, 3)
    outcome = CascadeRouter([stage], WindowPolicy([])).route([images])
    assert stage.seen == [3, 3]
    assert torch.equal(outcome.probs, images.softmax(1))


def test_whoever_watches_is_told_the_stage():
    logits = torch.randn(4, 3)
    router, told = CascadeRouter([CachedStage(logits), CachedStage(logits)], OPEN), []
    router.watch = lambda stage, batch, confidence: told.append((stage, batch.unit.tolist(), len(confidence)))
    router.route([], range(4))
    assert told == [(0, [0, 1, 2, 3], 4), (1, [0, 1, 2, 3], 4)]


@pytest.mark.parametrize(('empty', 'exits'), [('go_on', [0, 1, 1, 1]), ('exit', [0, 1, 0, 0])])
def test_empty_units_do_what_their_confidence_says(empty, exits):
    logits = torch.tensor([[-1.0, 0.0], [0.5, 0.0], [2.0, 0.0], [3.0, 0.0]])
    stages = [CachedStage(logits), CachedStage(logits)]
    router = CascadeRouter(stages, WindowPolicy([(0.0, 1.0)]), Seen(empty), fusion='logit')
    assert router.route([], range(4)).exit_stage.tolist() == exits


def test_scores_are_never_computed_in_half_precision():
    logits, confidence = torch.randn(4, 3), Seen('exit')
    router = CascadeRouter([CachedStage(logits), CachedStage(logits)], OPEN, confidence)
    with torch.autocast('cpu', torch.bfloat16):
        router.route([], range(4))
    assert confidence.autocast == {False}
