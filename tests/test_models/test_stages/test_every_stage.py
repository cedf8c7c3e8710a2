# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What every stage has to do. A new kind adds a line to KINDS (stage_kinds.py)."""

from __future__ import annotations

import copy
import json
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmcascade.calibration.stores.identity import StageIdentity
from mmcascade.models.runtimes.graph_runtime import GraphRuntime
from mmcascade.models.runtimes.runtime import Runtime
from mmcascade.models.stages.choosing_stage import ChoosingStage
from mmcascade.models.stages.exit_stage import ExitStage
from mmcascade.models.stages.stage import MemberStage, StageOptions
from mmcascade.routing import CascadeRouter, UnitBatch, ViewRows, WindowPolicy
from tests.support.families import declaring, descendants
from tests.test_models.stage_kinds import KINDS, NAMES, Case, Ran, parts_of, run
from tests.test_routing.test_counting.test_cost import tensors_in


@pytest.fixture(scope='module', autouse=True)
def own_cache(tmp_path_factory):
    """Of graphs and batch sizes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('cache')))
        yield


@pytest.fixture(scope='module', params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope='module')
def case(name) -> Case:
    """A stage that no test changes."""
    return KINDS[name].build()


@pytest.fixture(scope='module')
def whole(case) -> Ran:
    """What it gives of all units at once."""
    with torch.no_grad():
        return run(case.stage, case.batch())


@pytest.fixture(autouse=True)
def without_gradients():
    """As routers run stages."""
    with torch.no_grad():
        yield


def new(name: str, takes: str | None = None, **options: Any) -> Case:
    """Another stage of a kind, with more options."""
    if takes is not None and takes not in KINDS[name].takes:
        pytest.skip(f'takes no {takes}=')
    return KINDS[name].build(**options)


def in_torch(case: Case) -> Case:
    """A copy, with a member of its own."""
    if case.module is None or isinstance(getattr(case.stage, 'runtime', None), GraphRuntime):
        pytest.skip('torch runs no member')
    return copy.deepcopy(case)


def member_stage(case: Case) -> MemberStage:
    if not isinstance(case.stage, MemberStage):
        pytest.skip('runs no member of a config')
    return case.stage


def assert_agree(found: Ran, whole: Ran, tolerance: float, macs: bool = True) -> None:
    """Whether units got what they get in another batch."""
    right = whole.of(found.ticket)
    torch.testing.assert_close(found.values, right.values, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(found.features, right.features, rtol=tolerance, atol=tolerance)
    if macs:
        np.testing.assert_allclose(found.macs, right.macs, rtol=1e-12)


@contextmanager
def counting() -> Iterator[FlopCounterMode]:
    """Inside, torch counts; attention is written out, as the fused kernel of processors is none that it knows."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        yield counter


def facts_of(module: nn.Module) -> list[Any]:
    """What a run may not change in a member."""
    parts = [
        (name, part.training, sorted(vars(part)), list(part._forward_hooks), list(part._forward_pre_hooks))
        for name, part in module.named_modules()
    ]
    tensors = [
        (id(x), x.data_ptr(), x._version, x.requires_grad, x.grad is None, x.device.type) for x in tensors_in(module)
    ]
    assert not any(isinstance(x, FakeTensor) for x in tensors_in(module))
    return [*parts, *tensors]


def modes() -> tuple[Any, ...]:
    """What torch would do of the next operator."""
    return (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled('cpu'),
        torch.get_default_dtype(),
        torch._C._len_torch_dispatch_stack(),
        torch._C._len_torch_function_stack(),
        torch.backends.mha.get_fastpath_enabled(),
    )


def test_every_stage_is_here():
    here = {kind.stage.__name__ for kind in KINDS.values()}
    assert here == (declaring('by_source') | descendants('MemberStage', 'PlainStage')) - {'MemberStage'}


def test_an_incomplete_kind_of_stage_cannot_be_made():
    with pytest.raises(TypeError, match='describe.*identity.*images_of.*placed.*probes'):
        MemberStage('a', None, None, StageOptions())


def test_options_are_split_from_those_of_a_kind():
    options, others = StageOptions.split(dict(batch_size=3, amp='float16', scale=2, compile=True))
    assert (options.batch_size, options.macs, options.temperature) == (3, None, 1.0)
    assert options.execution.amp == 'float16' and options.execution.compile is True
    assert others == dict(scale=2)


class TestStage:
    def test_gives_finite_scores_of_every_class_for_every_unit(self, name, case, whole):
        batch = case.batch()
        assert type(case.stage) is KINDS[name].stage
        assert whole.ticket.tolist() == batch.ticket.tolist()
        assert whole.values.shape[:2] == (len(batch), case.classes) and whole.values.is_floating_point()
        assert whole.values.isfinite().all() and not whole.values.requires_grad
        assert len({row.float().numpy().tobytes() for row in whole.values}) == len(batch), 'units are told apart'
        assert np.isfinite(whole.macs).all() and (whole.macs > 0).all()
        for output in whole.outputs:
            assert output.source and output.source == getattr(case.stage, 'source', output.source)
            if case.stage.by_source or output.values.dim() == 4:
                assert output.values.shape[1] == case.classes
            else:
                assert output.values.dtype in (torch.float32, torch.float64)

    def test_rows_go_where_their_units_go(self, name, case, whole):
        last = len(case.sources) - 1
        mixed = [last, *range(last)]
        found = run(case.stage, case.batch(mixed))
        assert found.ticket.tolist() != whole.ticket.tolist()
        assert_agree(found, whole, KINDS[name].tolerance)

    def test_a_unit_gets_alone_what_it_gets_in_a_batch(self, name, case, whole):
        for number in range(len(case.sources)):
            assert_agree(run(case.stage, case.batch([number])), whole, KINDS[name].tolerance)
        if isinstance(case.stage, ChoosingStage):  # what it runs depends on all units of a source
            return
        batch = case.batch()
        for cut in (1, len(batch) - 1):
            for part in batch.split(cut):
                # Who asks for an image pays for it.
                assert_agree(run(case.stage, part), whole, KINDS[name].tolerance, macs=not case.stage.by_source)
        some = run(case.stage, batch.select(np.arange(0, len(batch), 2)))
        assert_agree(some, whole, KINDS[name].tolerance, macs=not case.stage.by_source)
        if case.stage.by_source:
            assert some.macs.sum() == pytest.approx(whole.macs.sum())

    def test_charges_the_multiply_adds_of_what_ran(self, case, whole):
        if case.macs is not None:
            np.testing.assert_allclose(whole.macs, case.macs, rtol=1e-12)
            return
        for numbers in (None, [1]):
            batch = case.batch(numbers)
            with counting() as counter:
                found = run(case.stage, batch)
            assert found.macs.sum() == pytest.approx(counter.get_total_flops() / 2, rel=1e-12)

    def test_leaves_nothing_behind(self, name):
        case = new(name)
        batch = case.batch()
        inputs = [(x, x.clone()) for source in case.sources for x in source.tensors()]
        places = {key: value.copy() for key, value in vars(batch).items() if isinstance(value, np.ndarray)}
        exits = dict(batch.exits)
        hook = None if case.module is None else case.module.register_forward_hook(lambda *_: None)  # somebody else's
        member = None if case.module is None else facts_of(case.module)
        for grad in (True, False):
            with torch.set_grad_enabled(grad):
                before = modes()
                if isinstance(case.stage, MemberStage):
                    assert grad != bool(case.stage.macs_by_shape)
                    case.stage.settle(case.sources)
                run(case.stage, batch)
                assert modes() == before
        assert all(torch.equal(now, then) for now, then in inputs)
        assert all(np.array_equal(getattr(batch, key), value) for key, value in places.items())
        assert batch.exits == exits and batch.state is None
        assert member is None or facts_of(case.module) == member
        if hook is not None:
            hook.remove()

    def test_of_no_units_nothing_runs(self, case, whole):
        before = dict(getattr(case.stage, 'macs_by_shape', {}))
        router = CascadeRouter([*case.before, case.stage], WindowPolicy([(None, None)] * len(case.before)))
        assert router.route_all([]) is None
        if isinstance(case.sources[0], ViewRows):
            empty = ViewRows([view[:0] for view in case.sources[0].views])
            assert router.route_all([(empty, None)]) is None
        if isinstance(case.stage, MemberStage):
            assert case.stage.probes([]) == []
            case.stage.settle([])
            assert case.stage.macs_by_shape == before

    def test_runs_where_its_member_is(self, name, case, whole):
        if name in ('bfloat16', 'compiled'):
            pytest.skip('autocast knows no device without values')
        case = in_torch(case)  # with its counts
        case.module.to('meta')
        for part in parts_of(case.stage, case.batch()):
            values = case.stage(part).values
            assert values.is_meta and values.shape[:2] == (len(part), case.classes)

    @pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
    def test_a_gpu_agrees(self, name, case, whole):
        case = in_torch(case)
        case.module.to('cuda')
        found = run(case.stage, case.batch())
        assert {output.values.device.type for output in found.outputs} == {'cuda'}
        assert_agree(found, whole, max(KINDS[name].tolerance, 0.02))


class TestMemberStage:
    def test_knows_before_what_it_charges(self, name, case, whole):
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

    def test_given_costs_win(self, name):
        case = new(name, takes='macs', macs=7.0)
        stage = case.stage
        stage.settle(case.sources)
        found = run(stage, case.batch())
        assert set(stage.macs_by_shape.values()) == {7.0} and stage.macs_of(torch.empty(1, 3, 9, 9)) == 7.0
        images = len(case.sources) if stage.by_source else len(found.macs)
        assert found.macs.sum() == pytest.approx(7.0 * images)

    def test_gives_in_two_steps_what_it_gives_in_one(self, name, case, whole):
        stage, batch = member_stage(case), case.batch(fresh=True)
        inputs = stage.inputs_of(batch)
        with counting() as counter:
            output = stage.forward(inputs)
        assert len(output.values) == len(inputs) == len(stage.images_of(batch))
        if case.macs is None and not isinstance(stage, ChoosingStage):
            assert counter.get_total_flops() / 2 == pytest.approx(whole.macs.sum(), rel=1e-12)
        if output.values.dim() == 2:
            torch.testing.assert_close(output.values, whole.values, rtol=0, atol=KINDS[name].tolerance)

    def test_alone_it_gives_the_same_of_whole_images(self, name, case, whole):
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

    def test_has_a_name_that_files_keep(self, name, case):
        stage = member_stage(case)
        identity = stage.identity('weights')
        assert (identity.weights, identity.member, identity.source) == ('weights', 'a', stage.source)
        assert StageIdentity.from_json(json.loads(json.dumps(identity.to_json()))) == identity
        assert copy.deepcopy(stage).identity('weights') == identity
        assert stage.describe() and stage.title.startswith('a') and stage.member == 'a'

    def test_auto_is_settled_once(self, name, monkeypatch):
        calls = []

        def fake(runtime, row, device):
            calls.append((runtime, tuple(row.shape), row.dtype, device))
            return 4

        monkeypatch.setattr('mmcascade.models.stages.stage.settled_size', fake)
        case = new(name, takes='auto', batch_size='auto')
        stage = case.stage
        stage.settle([])
        assert stage.batch_size is None and not calls
        for _ in range(2):
            stage.settle(case.sources)
        probe = stage.probes(case.sources)[0]
        assert stage.batch_size == 4
        assert calls == [(stage.runtime, tuple(probe.shape[1:]), probe.dtype, stage.device)]

    def test_the_member_runs_through_its_runtime(self, name, case, whole):
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

    def test_a_size_that_the_member_does_not_take_is_named_before_the_test(self, case):
        class Fails:
            module = case.module

            def __call__(self, images: torch.Tensor) -> float:
                raise RuntimeError('too small\nmore')

        stage = copy.copy(member_stage(case))
        stage.counter = Fails()
        height, width = stage.probes(case.sources)[0].shape[-2:]
        message = f"member 'a' fails on {stage.runs_on} of {height} x {width} pixels (RuntimeError: too small). "
        with pytest.raises(ValueError, match=re.escape(message + stage.remedy) + '$'):
            stage.settle(case.sources)
        assert stage.runs_on == ('crops' if stage.on == 'cell' else 'images')

    def test_a_member_without_a_finite_score_is_named_once(self, case):
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

    def test_a_copy_runs_its_own_weights(self, name, case, whole):
        stage = member_stage(case)
        other = copy.deepcopy(case)
        for parameter in other.stage.network.module.parameters():
            parameter.zero_()
        other.stage.settle(other.sources)
        values = run(other.stage, other.batch(fresh=True)).values
        assert len({row.numpy().tobytes() for row in values}) == 1
        assert_agree(run(stage, case.batch()), whole, KINDS[name].tolerance)

    def test_a_waiting_unit_keeps_what_it_is_said_to_keep(self, name, case):
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
