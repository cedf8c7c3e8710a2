# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Options of a stage reach its member: memory order, precision, batch size."""

from __future__ import annotations

import copy
import json

import pytest
import torch

from mmcascade.models.runtimes import batch_sizes
from mmcascade.models.runtimes.build import build_runtime
from mmcascade.models.runtimes.execution import Execution
from mmcascade.models.runtimes.networks.classifier_network import ClassifierNetwork
from mmcascade.registry import MODELS
from tests.support.members.tiny_models import images, tiny


@torch.no_grad()
def logits(module, execution, n=5):
    return build_runtime(ClassifierNetwork(module), execution)(images(n)).values


def test_channels_last_changes_the_memory_order_only(member):
    expected = logits(member, Execution())
    module, seen = copy.deepcopy(member), []
    module.backbone.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    found = logits(module, Execution(channels_last=True))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert seen[0].is_contiguous(memory_format=torch.channels_last) and not seen[0].is_contiguous()
    weights = [p for p in module.parameters() if p.dim() == 4 and min(p.shape[1:3]) > 1]
    assert weights and all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)
    assert not any(
        p.is_contiguous(memory_format=torch.channels_last)
        for p in member.parameters()
        if p.dim() == 4 and min(p.shape[1:3]) > 1
    )


def test_precision_of_one_stage(member):
    module, seen = copy.deepcopy(member), []
    module.head.fc.register_forward_hook(lambda _, args, output: seen.append(output.dtype))
    expected = logits(module, Execution())
    half = logits(module, Execution(amp='bfloat16'))
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, expected, rtol=0.1, atol=0.1)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        as_outside = logits(module, Execution())
        full = logits(module, Execution(amp='float32'))
    assert seen == [torch.float32, torch.bfloat16, torch.bfloat16, torch.float32]
    torch.testing.assert_close(full, expected)
    torch.testing.assert_close(as_outside, half)


def cascade(member, **options):
    return MODELS.build(
        dict(
            type='mmcascade.WindowCascadeClassifier',
            members=dict(a=member, b=tiny('mobilenet', 1)),
            stages=[dict(member='a'), dict(member='b', **options)],
            policy=dict(type='mmcascade.WindowPolicy', windows=[(None, None)]),
        )
    )


def step(model, n=6):
    return torch.stack([sample.pred_score for sample in model.test_step(dict(inputs=images(n)))])


@pytest.mark.parametrize('options', [dict(channels_last=True), dict(amp='float32'), dict(batch_size=4)])
def test_options_reach_the_stage(member, options):
    model = cascade(member, **options)
    torch.testing.assert_close(step(model), step(cascade(member)), rtol=1e-4, atol=1e-5)
    settings = {**vars(model.stages[1].execution), 'batch_size': model.stages[1].batch_size}
    assert options.items() <= settings.items()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(batch_size=-2), "batch_size of stage 1 is a whole number >= 1, 'auto' or None, got -2"),
        (dict(batch_size=True), 'batch_size of stage 1 is a whole number'),
        (dict(batch_size='large'), "got 'large'"),
        (dict(amp='half'), r"amp of stage 1 is one of \['bfloat16', 'float16', 'float32'\] or None, got 'half'"),
        (dict(channels_last=1), 'channels_last of stage 1 is True or False, got 1'),
        (dict(compile=3), 'compile of stage 1 is True, False or a mode of torch.compile, got 3'),
    ],
)
def test_bad_options_are_refused_at_build_time(member, options, message):
    with pytest.raises(ValueError, match=message):
        cascade(member, **options)


def test_auto_batch_size_is_found_once_and_remembered(member, monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    calls = []

    def fake_sweep(run, row, sizes, **options):
        assert sizes == batch_sizes.SIZES
        calls.append(tuple(row.shape))
        return {1: 3.0, 2: 1.01, 4: 1.0}

    monkeypatch.setattr(batch_sizes, 'sweep', fake_sweep)
    model = cascade(member, batch_size='auto')
    assert model.stages[1].batch_size is None
    step(model)
    step(model)
    assert model.stages[1].batch_size == 2
    assert calls == [(3, 32, 32)]
    again = cascade(member, batch_size='auto')
    step(again)
    assert again.stages[1].batch_size == 2 and len(calls) == 1
    other = cascade(member, batch_size='auto', channels_last=True)
    step(other)
    assert len(calls) == 2, 'another way to run takes another batch size'
    content = json.loads((tmp_path / 'mmcascade' / 'batch_sizes.json').read_text())
    assert content['schema'] == 1 and list(content['sizes'].values()) == [2, 2]
