# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What every stage has to do."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor

from mmcascade.models.stages.choosing_stage import ChoosingStage
from mmcascade.models.stages.stage import MemberStage
from mmcascade.routing import CascadeRouter, ViewRows, WindowPolicy
from tests.support.families import declaring, descendants
from tests.test_models.test_stages.test_every_stage.cases import assert_agree, counting, parts_of, run
from tests.test_models.test_stages.test_every_stage.kinds import KINDS, in_torch, new
from tests.test_routing.test_counting.test_cost import tensors_in


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


def test_gives_finite_scores_of_every_class_for_every_unit(name, case, whole):
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


def test_a_pickled_stage_gives_and_charges_the_same(name, whole):
    case = pickle.loads(pickle.dumps(new(name)))  # of a stage that has not run, so that its counter has to
    found = run(case.stage, case.batch())
    torch.testing.assert_close(found.values, whole.values)
    np.testing.assert_array_equal(found.macs, whole.macs)


def test_rows_go_where_their_units_go(name, case, whole):
    last = len(case.sources) - 1
    mixed = [last, *range(last)]
    found = run(case.stage, case.batch(mixed))
    assert found.ticket.tolist() != whole.ticket.tolist()
    assert_agree(found, whole, KINDS[name].tolerance)


def test_a_unit_gets_alone_what_it_gets_in_a_batch(name, case, whole):
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


def test_charges_the_multiply_adds_of_what_ran(case, whole):
    if case.macs is not None:
        np.testing.assert_allclose(whole.macs, case.macs, rtol=1e-12)
        return
    for numbers in (None, [1]):
        batch = case.batch(numbers)
        with counting() as counter:
            found = run(case.stage, batch)
        assert found.macs.sum() == pytest.approx(counter.get_total_flops() / 2, rel=1e-12)


def test_leaves_nothing_behind(name):
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


def test_of_no_units_nothing_runs(case, whole):
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


def test_runs_where_its_member_is(name, case, whole):
    if name in ('bfloat16', 'compiled'):
        pytest.skip('autocast knows no device without values')
    case = in_torch(case)  # with its counts
    case.module.to('meta')
    for part in parts_of(case.stage, case.batch()):
        values = case.stage(part).values
        assert values.is_meta and values.shape[:2] == (len(part), case.classes)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_a_gpu_agrees(name, case, whole):
    case = in_torch(case)
    case.module.to('cuda')
    found = run(case.stage, case.batch())
    assert {output.values.device.type for output in found.outputs} == {'cuda'}
    assert_agree(found, whole, max(KINDS[name].tolerance, 0.02))
