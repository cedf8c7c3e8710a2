# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Execution options and batch sizes: other speed, same scores."""

from __future__ import annotations

import copy
import json
import threading
import warnings
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mmcascade.models.runtimes import batch_sizes
from mmcascade.models.runtimes.batch_sizes import SizeCache, best_size, sweep
from mmcascade.models.runtimes.build import build_runtime
from mmcascade.models.runtimes.compiled_runtime import CompiledRuntime, pad_rows, padded_size
from mmcascade.models.runtimes.execution import Execution
from mmcascade.models.stages.classifier_network import ClassifierNetwork
from mmcascade.models.stages.features import feature_output
from mmcascade.registry import MODELS
from tests.support.tiny_models import images, tiny


@pytest.fixture(scope='module')
def member():
    return tiny('resnet')


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


def compiled(module, kind=CompiledRuntime):
    return kind(ClassifierNetwork(module), Execution(compile=True))


class Spy(CompiledRuntime):
    """Instead of compiling, notes the shapes that would be."""

    def _compile(self, device):
        self.sizes = []

        def compiled(x):
            self.sizes.append(len(x))
            return self.network.module(x)

        return compiled


def test_leftovers_meet_few_sizes_and_padding_is_cut_off():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(48, 7)).eval()
    scores, x = compiled(module, Spy), torch.rand(24, 3, 4, 4)
    for n in (24, 1, 2, 3, 5, 17, 23, 24):
        torch.testing.assert_close(scores(x[:n], full=24).values, module(x[:n]))
    assert scores.sizes == [24, 1, 2, 4, 8, 24, 24, 24]


@given(st.integers(1, 2000), st.one_of(st.none(), st.integers(1, 600)))
def test_padded_size(n, full):
    size = padded_size(n, full)
    assert n <= size < 2 * n or size == n == 1
    assert size == full or size & (size - 1) == 0
    if full is not None and n <= full:
        assert size <= full
    assert padded_size(size, full) == size


def test_padding_repeats_a_real_row():
    x = torch.arange(3)[:, None]
    assert pad_rows(x, 5)[:, 0].tolist() == [0, 1, 2, 2, 2]
    assert pad_rows(x, 3) is x


def test_without_a_compiler_it_runs_uncompiled_with_one_warning():
    module = nn.Sequential(nn.Flatten(), nn.Linear(48, 7)).eval()
    scores = compiled(module)

    def broken(device):
        def compiled(x):
            raise RuntimeError('No working C++ compiler found\nmore')

        return compiled

    scores._compile = broken
    x = torch.rand(3, 3, 4, 4)
    with pytest.warns(UserWarning, match='Sequential cannot be compiled here and runs uncompiled: RuntimeError'):
        torch.testing.assert_close(scores.values(x), module(x))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        torch.testing.assert_close(scores.values(x), module(x))


def test_out_of_memory_is_no_failure_to_compile():
    scores = compiled(nn.Identity())

    def full(x):
        raise torch.OutOfMemoryError('full')

    scores._compile = lambda device: full
    with pytest.raises(torch.OutOfMemoryError):
        scores.values(torch.rand(2, 3))
    assert not scores.failed


def test_errors_of_a_proven_size_are_not_hidden():
    scores = compiled(nn.Flatten(), Spy)
    scores.values(torch.rand(2, 3))
    scores.compiled = lambda x: 1 / 0
    with pytest.raises(ZeroDivisionError):
        scores.values(torch.rand(2, 3))


def test_a_copy_compiles_its_own_weights():
    module = nn.Linear(3, 2)
    scores = compiled(module, Spy)
    scores.values(torch.ones(1, 3))
    other = copy.deepcopy(scores)
    nn.init.zeros_(other.network.module.weight)
    nn.init.ones_(other.network.module.bias)
    assert other.values(torch.ones(1, 3)).tolist() == [[1, 1]]


def test_probabilities_cannot_be_compiled(monkeypatch, member):
    with pytest.raises(ValueError, match='class scores only; leave it out where the confidence reads features'):
        CompiledRuntime(ClassifierNetwork(member, feature_output), Execution(compile=True))
    monkeypatch.setattr('mmcascade.models.stages.classifier_network.gives_logits', lambda module: False)
    with pytest.raises(ValueError, match='only predicts probabilities; leave compile= out'):
        compiled(member)


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


def test_segmentors_try_small_batches_on_a_processor():
    assert batch_sizes.sizes_for(torch.device('cpu'), True) == (1, 2, 4, 8)
    assert batch_sizes.sizes_for(torch.device('cuda'), True) == batch_sizes.SIZES


def test_memory_that_does_not_hold_one_row_is_an_error():
    def fail(rows):
        raise torch.OutOfMemoryError('full')

    with pytest.raises(torch.OutOfMemoryError, match='full'):
        batch_sizes.sweep(fail, torch.zeros(3), (1, 2))


def test_sweep_stops_when_it_gets_worse(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr('time.perf_counter', lambda: clock.now)
    cost = {1: 5, 2: 6, 4: 8, 8: 20, 16: 64, 32: 512, 64: 1}
    seen = []

    def run(batch):
        seen.append(len(batch))
        clock.now += cost[len(batch)]

    found = sweep(run, torch.zeros(3), sizes=list(cost))
    assert found == {1: 5, 2: 3, 4: 2, 8: 2.5, 16: 4}
    assert best_size(found) == 4
    assert sorted(set(seen)) == [1, 2, 4, 8, 16] and seen.count(4) >= 3


def test_sweep_stops_when_memory_runs_out():
    def run(batch):
        if len(batch) > 2:
            raise torch.OutOfMemoryError

    assert list(sweep(run, torch.zeros(3), seconds=0, patience=99)) == [1, 2]


def test_best_size_prefers_small_batches_at_equal_speed():
    assert best_size({1: 2.0, 2: 1.015, 4: 1.0, 8: 1.001}) == 2
    assert best_size({1: 1.02, 2: 1.0}) == 1 and best_size({1: 1.021, 2: 1.0}) == 2, 'equal is 2 % and no more'


@pytest.mark.parametrize(
    'content',
    ['', '[]', '{"schema": 2, "sizes": {"k": 4}}', '{"schema": 1, "sizes": [4]}', '{"schema": 1, "sizes": {"k": "4"}}'],
)
def test_a_broken_cache_is_written_anew(tmp_path, content):
    cache = SizeCache(tmp_path / 'new' / 'sizes.json')
    assert cache.get('k') is None
    cache.put('k', 4)
    cache.path.write_text(content)
    assert cache.get('k') is None
    cache.put('k', 8)
    assert cache.get('k') == 8
    assert sorted(path.name for path in cache.path.parent.iterdir()) == ['.sizes.json.lock', 'sizes.json']


def test_entries_of_several_writers_are_all_kept(tmp_path):
    path = tmp_path / 'sizes.json'

    def write(first):
        for number in range(first, first + 20):
            SizeCache(path).put(f'k{number}', number + 1)

    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 20, 40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [SizeCache(path).get(f'k{number}') for number in range(60)] == list(range(1, 61))


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / 'file').write_text('')
    SizeCache(tmp_path / 'file' / 'sizes.json').put('k', 1)
