# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What an exit leaves behind for a later one, while units wait for it."""

from __future__ import annotations

import pytest
import torch

from mmcascade.routing import CascadeRouter, StageOutput, WindowPolicy
from mmcascade.routing.exits.exit_state import ExitState


class Exit:
    """An exit of a network: it leaves its input behind, and notes what units bring to it."""

    views, by_source, temperature, member, trunk = (0,), False, 1.0, 'network', 'trunk'

    def __init__(self, index, batch_size=None, waits_with_input=False):
        self.index, self.batch_size, self.waits_with_input = index, batch_size, waits_with_input
        self.brought = []

    def __call__(self, batch):
        self.brought.append(dict(batch.exits))
        rows = batch.view(0)
        return StageOutput(logits=rows.float(), macs=1.0, state=ExitState(self.index, rows.float()))


@pytest.mark.parametrize('waits_with_input', [False, True])
def test_units_that_wait_keep_what_was_left_behind_or_their_input(waits_with_input):
    later = Exit(1, batch_size=100, waits_with_input=waits_with_input)
    router = CascadeRouter([Exit(0), later], WindowPolicy([(None, None)]))
    images = torch.arange(24.0).view(8, 3)
    with router.stream() as stream:
        for part in images.split(4):
            assert not stream.submit([part.clone()])
        (finished,) = stream.flush()
    assert finished.exit_stage.tolist() == [1] * 8
    if waits_with_input:
        assert later.brought == [{}]
    else:
        (left,) = later.brought
        assert left['trunk'].after == 0
        assert left['trunk'].rows.tolist() == images.tolist()
