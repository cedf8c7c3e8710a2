# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What every stage has to do that runs a member of a config."""

from __future__ import annotations

import copy
import json
import re
import warnings

import numpy as np
import pytest
import torch

from mmcascade.calibration.stores.identity import StageIdentity
from mmcascade.models.runtimes.runtime import Runtime
from mmcascade.models.stages.choosing_stage import ChoosingStage
from mmcascade.models.stages.exit_stage import ExitStage
from mmcascade.models.stages.stage import MemberStage, StageOptions
from mmcascade.routing import UnitBatch, ViewRows
from tests.test_models.test_stages.test_every_stage.cases import Case, assert_agree, counting, run
from tests.test_models.test_stages.test_every_stage.kinds import KINDS, in_torch, new


def member_stage(case: Case) -> MemberStage:
    if not isinstance(case.stage, MemberStage):
        pytest.skip('runs no member of a config')
    return case.stage


def test_an_incomplete_kind_of_stage_cannot_be_made():
    with pytest.raises(TypeError, match='describe.*identity.*images_of.*placed.*probes'):
        MemberStage('a', None, None, StageOptions())


def test_options_are_split_from_those_of_a_kind():
    options, others = StageOptions.split(dict(batch_size=3, amp='float16', scale=2, compile=True))
    assert (options.batch_size, options.macs, options.temperature) == (3, None, 1.0)
    assert options.execution.amp == 'float16' and options.execution.compile is True
    assert others == dict(scale=2)


def test_knows_before_what_it_charges(name, case, whole):
    stage = member_stage(case)
    probes = {tuple(probe.shape[1:]): probe for probe in stage.probes(case.sources)}
    assert all(len(probe) == 1 for probe in probes.values())
    if not isinstance(stage, ChoosingStage):
        assert stage.macs_by_shape.keys() == probes.keys()
        seen = stage.images_of(case.batch(fresh=True))
        (probe,) = probes.values()
        assert (seen.dtype, seen.device) == (probe.dtype, probe.device)
    for shape, macs in stage.macs_by_shape.items():
        probe = next(iter(probes.values()))
        assert macs == stage.macs_of(probe.new_empty(1, *shape))


def test_given_costs_win(name):
    case = new(name, takes='macs', macs=7.0)
    stage = case.stage
    stage.settle(case.sources)
    found = run(stage, case.batch())
    assert set(stage.macs_by_shape.values()) == {7.0} and stage.macs_of(torch.empty(1, 3, 9, 9)) == 7.0
    images = len(case.sources) if stage.by_source else len(found.macs)
    assert found.macs.sum() == pytest.approx(7.0 * images)


def test_gives_in_two_steps_what_it_gives_in_one(name, case, whole):
    stage, batch = member_stage(case), case.batch(fresh=True)
    inputs = stage.inputs_of(batch)
    with counting() as counter:
        output = stage.forward(inputs)
    assert len(output.values) == len(inputs) == len(stage.images_of(batch))
    if case.macs is None and not isinstance(stage, ChoosingStage):
        assert counter.get_total_flops() / 2 == pytest.approx(whole.macs.sum(), rel=1e-12)
    if output.values.dim() == 2:
        torch.testing.assert_close(output.values, whole.values, rtol=0, atol=KINDS[name].tolerance)


def test_alone_it_gives_the_same_of_whole_images(name, case, whole):
    stage = member_stage(case)
    before = dict(stage.macs_by_shape)
    alone = stage.alone()
    assert alone.on == 'image' and alone.member == stage.member and alone.network is stage.network
    found = run(alone, case.batch(fresh=True))
    assert np.array_equal(found.ticket, whole.ticket) and stage.macs_by_shape == before
    goes_on = isinstance(stage, ExitStage) and stage.before is not None
    if stage.on == 'image':
        assert_agree(found, whole, KINDS[name].tolerance, macs=not goes_on)
    if goes_on:
        assert (found.macs > whole.macs).all()
    assert alone.alone() is alone and (alone is stage) == (stage.on == 'image' and not goes_on)


def test_has_a_name_that_files_keep(name, case):
    stage = member_stage(case)
    identity = stage.identity('weights')
    assert (identity.weights, identity.member, identity.source) == ('weights', 'a', stage.source)
    assert StageIdentity.from_json(json.loads(json.dumps(identity.to_json()))) == identity
    assert copy.deepcopy(stage).identity('weights') == identity
    assert stage.describe() and stage.title.startswith('a') and stage.member == 'a'


def test_auto_is_settled_once(name, monkeypatch):
    calls = []

    def fake(runtime, row, device):
        calls.append((runtime, tuple(row.shape), row.dtype, device))
        return 4

    monkeypatch.setattr('mmcascade.models.stages.stage.settled_size', fake)
    case = new(name, takes='auto', batch_size='auto')
    stage = case.stage
    rows = [ViewRows([view[:0] for view in source.views]) for source in case.sources if isinstance(source, ViewRows)]
    for nothing in ([], rows):
        stage.settle(nothing)
        assert stage.batch_size is None and not calls
    for _ in range(2):
        stage.settle(case.sources)
    probe = stage.probes(case.sources)[0]
    assert stage.batch_size == 4
    assert calls == [(stage.runtime, tuple(probe.shape[1:]), probe.dtype, stage.device)]


def test_the_member_runs_through_its_runtime(name, case, whole):
    if 'runtime' not in KINDS[name].takes:
        pytest.skip('has none')
    stage, seen = copy.copy(case.stage), []
    stage.batch_size = 3
    real = stage.runtime

    class Noted(Runtime):
        def run(self, images, full):
            seen.append(full)
            return real(images, full)

    stage.runtime = Noted(stage.network, stage.execution)
    assert_agree(run(stage, case.batch()), whole, KINDS[name].tolerance, macs=not isinstance(stage, ChoosingStage))
    assert seen and set(seen) == {3}


def test_a_size_that_the_member_does_not_take_is_named_before_the_test(case):
    class Fails:
        module = case.module

        def __call__(self, images: torch.Tensor) -> float:
            raise RuntimeError('too small\nmore')

    stage = member_stage(case).twin()
    stage.counter = Fails()
    height, width = stage.probes(case.sources)[0].shape[-2:]
    message = f"member 'a' fails on {stage.runs_on} of {height} x {width} pixels (RuntimeError: too small). "
    with pytest.raises(ValueError, match=re.escape(message + stage.remedy) + '$'):
        stage.settle(case.sources)
    assert stage.runs_on == ('crops' if stage.on == 'cell' else 'images')


def test_a_member_without_a_finite_score_is_named_once(case):
    member_stage(case)
    other = in_torch(case)
    stage, batch = other.stage, other.batch(fresh=True)
    stage._looked_at = False
    for parameter in stage.network.module.parameters():
        parameter.fill_(torch.nan)
    with pytest.warns(UserWarning, match="member 'a' gave no finite score for any of its first"):
        run(stage, batch)
    with warnings.catch_warnings(record=True) as caught:
        assert not any(output.values.isfinite().any() for output in run(stage, batch).outputs)
    assert not any('finite score' in str(warning.message) for warning in caught)


def test_a_copy_runs_its_own_weights(name, case, whole):
    stage = member_stage(case)
    other = copy.deepcopy(case)
    for parameter in other.stage.network.module.parameters():
        parameter.zero_()
    other.stage.settle(other.sources)
    values = run(other.stage, other.batch(fresh=True)).values
    assert len({row.numpy().tobytes() for row in values}) == 1
    assert_agree(run(stage, case.batch()), whole, KINDS[name].tolerance)


def test_a_waiting_unit_keeps_what_it_is_said_to_keep(name, case):
    stage = member_stage(case)
    batch: UnitBatch = case.batch()
    if isinstance(stage, ExitStage) and stage.waits_with_input:
        batch.exits = {}
    kept = batch.own(case.sources, set(stage.views))
    if not stage.views:  # what the earlier exit left behind
        kept.sources = []
    said = sum(stage.waiting_bytes(source) * len(rows) for source, rows in batch.pieces())
    if case.rows is None:  # else an image waits for as long as one of its cells does
        assert said == pytest.approx(sum(x.nbytes for x in kept.tensors()), abs=len(batch))
