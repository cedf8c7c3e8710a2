# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A network with exits in ``Cascade``: its exits go on from each other, in calibration, in use, and from files."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmcascade import Cascade
from tests.support.members.tiny_exits import EXITS, TinyExits, count_blocks
from tests.support.members.tiny_models import CLASSES, images


def loader(count=40, seed=0):
    """Images whose labels are what the last exit says, but for a few."""
    batch = images(count, seed=seed)
    with torch.no_grad():
        labels = TinyExits()(batch).argmax(1)
    labels[::7] = (labels[::7] + 1) % CLASSES
    return [(part, given) for part, given in zip(batch.split(16), labels.split(16), strict=True)]


@pytest.fixture(scope='module')
def calibrated():
    return Cascade([TinyExits()]).calibrate(loader(), 'deferred=0.5')


def test_exits_are_stages_and_nothing_runs_twice(calibrated):
    batch = images(12, seed=5)
    network = calibrated.stages[0].module
    seen = count_blocks(network)
    decisions = calibrated.predict(batch)
    reached = [sum(d.exit_stage >= k for d in decisions) for k in range(EXITS)]
    assert seen['stem'] == 12 and [seen.get(f'fine.{k}', 0) for k in range(EXITS)] == reached
    assert len({d.exit_stage for d in decisions}) > 1
    with torch.no_grad():
        temperatures = calibrated.calibration.temperatures
        exits = [(z / t).softmax(1).numpy() for z, t in zip(network.all_exits(batch), temperatures, strict=True)]
    for row, decision in enumerate(decisions):  # a deeper exit takes the place of an earlier one
        np.testing.assert_allclose(decision.probabilities, exits[decision.exit_stage][row], atol=1e-5)


def test_the_first_exit_and_all_of_them_cost_what_runs(calibrated):
    found = calibrated.evaluate(loader(seed=1))
    macs = {system.name: system.cost for system in found.systems}
    assert found.members == [f'member-1 on view 0 up to exit {k}' for k in range(EXITS)]
    *alone, cascade = macs.values()
    means = [cost.mean() for cost in alone]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        calibrated.stages[0].module.all_exits(images(1))
    # The way is paid once, and each exit's own layers.
    assert means == sorted(means) and means[-1] * 2 == counter.get_total_flops()
    assert means[0] == cascade.min() and cascade.max() <= means[-1]
    batch = torch.cat([part for part, _ in loader(seed=1)])
    assert np.mean(cascade == [d.macs for d in calibrated.predict(batch)]) > 0.9  # other batches round otherwise
    assert 'up to exit 3' in found.table().as_text(120) and found.verdict()


def test_saved_and_loaded_it_decides_alike(calibrated, tmp_path):
    calibrated.save(tmp_path / 'saved')
    assert len(list((tmp_path / 'saved').glob('*.pth'))) == 1
    again = Cascade.load(tmp_path / 'saved', {'member-1': TinyExits(seed=9)})
    batch = images(12, seed=5)
    assert [d.to_json() for d in again.predict(batch)] == [d.to_json() for d in calibrated.predict(batch)]


def test_another_network_may_follow_and_one_of_a_single_exit_is_no_cascade():
    large = nn.Sequential(nn.Flatten(), nn.LazyLinear(CLASSES))
    with torch.no_grad():
        large(images(1).float())

    class Floats(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = large

        def forward(self, x):
            return self.net(x.float() / 255)

    cascade = Cascade([TinyExits(), Floats()]).calibrate(loader(), 'deferred=0.5')
    assert (
        cascade.members[-2:] == [f'member-1 on view 0 up to exit {EXITS - 1}', 'member-2'] and cascade.fusion == 'prob'
    )
    assert len(cascade.predict(images(3))) == 3
    with pytest.raises(ValueError, match='two members or more, or exits of one network'):
        Cascade([Floats()])
