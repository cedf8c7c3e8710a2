# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Which stages gave a unit nothing finite, from the router to the metric."""

from __future__ import annotations

import copy

import pytest
import torch
from mmpretrain.structures import DataSample
from torch import nn

from mmcascade.evaluation.metrics import CascadeCost
from mmcascade.models.cascade_classifier import WindowCascadeClassifier
from mmcascade.routing import FUSIONS, CachedStage, CascadeRouter, RandomPolicy


@pytest.mark.parametrize('fusion', FUSIONS)
@pytest.mark.parametrize('batch_size', [None, 3])
def test_every_unit_knows_the_stages_that_missed_it(fusion, batch_size):
    generator = torch.Generator().manual_seed(1)
    units, stages = 40, 4
    values = [torch.randn(units, 3, generator=generator) for _ in range(stages)]
    broken = torch.rand(stages, units, generator=generator) < 0.3
    for rows, bad in zip(values, broken, strict=True):
        rows[bad, 1] = torch.nan
    router = CascadeRouter(
        [CachedStage(rows, batch_size=batch_size) for rows in values], RandomPolicy([0.7] * (stages - 1)), fusion=fusion
    )
    outcome = router.route([], range(units))
    assert outcome.unit.tolist() == list(range(units))
    for stage in range(stages):
        ran = outcome.exit_stage >= stage
        assert outcome.missed(stage).tolist() == (broken[stage].numpy() & ran).tolist()
    missed = sum(outcome.missed(stage).astype(int) for stage in range(stages))
    assert outcome.finite_stages.tolist() == (outcome.exit_stage + 1 - missed).tolist()


def test_a_member_that_never_gives_anything_finite_is_named_by_the_test():
    torch.manual_seed(0)
    small = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    dead = copy.deepcopy(small)
    dead[1].weight.data.fill_(torch.nan)
    members = {name: dict(model=module) for name, module in (('small', small), ('dead', dead), ('large', small))}
    cascade = WindowCascadeClassifier(
        members,
        [dict(member=name, macs=1) for name in members],
        policy=dict(type='mmcascade.WindowPolicy', windows=[(None, None), (None, None)]),
    )
    batch = dict(inputs=[torch.rand(3, 2, 2) for _ in range(5)], data_samples=[DataSample() for _ in range(5)])
    with pytest.warns(UserWarning, match="member 'dead' gave no finite score for any of its first 5 input"):
        samples = cascade.test_step(batch)
    assert [sample.missed for sample in samples] == [[0, 1, 0]] * 5
    metric = CascadeCost()
    metric.process(None, [sample.to_dict() for sample in samples])
    with pytest.warns(UserWarning, match='stage 1 never gave a finite output, for none of the 5 units'):
        values = metric.evaluate(5)
    assert values['cost/nonfinite@stage1'] == 5 and values['cost/nonfinite'] == 0
