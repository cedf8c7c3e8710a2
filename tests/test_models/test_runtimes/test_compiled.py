# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Compiled members meet few sizes, and run uncompiled where there is no compiler."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mmcascade.models.runtimes.compiled_runtime import CompiledRuntime, pad_rows, padded_size
from mmcascade.models.runtimes.execution import Execution
from mmcascade.models.runtimes.networks.classifier_network import ClassifierNetwork
from mmcascade.models.runtimes.networks.features import feature_output


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
    networks = 'mmcascade.models.runtimes.networks.classifier_network'
    monkeypatch.setattr(f'{networks}.classifier_gives_logits', lambda module: False)
    with pytest.raises(ValueError, match='only predicts probabilities; leave compile= out'):
        compiled(member)
