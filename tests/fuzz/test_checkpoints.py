# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Mutated checkpoints: each is refused in a clear error, or gives exactly the weights that were saved.

``MMCASCADE_FUZZ=1000 pytest tests/fuzz`` tries so many of them instead of a few. Seeds are fixed, so a failure is found
again by its number.
"""

from __future__ import annotations

import copy
import math
import os
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mmcascade.models.members.weights.checkpoints import CheckpointError, load_weights
from mmcascade.models.members.weights.strict_loading import load_strictly

MUTATIONS = int(os.environ.get('MMCASCADE_FUZZ', '60'))
Content = dict[str, Any]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 5)
        self.register_buffer('index', torch.arange(6))


def original() -> Content:
    torch.manual_seed(0)
    meta = {'dataset_meta': {'classes': ('a', 'b', 'c', 'd', 'e'), 'palette': [[0, 0, i] for i in range(5)]}}
    return {'state_dict': Net().state_dict(), 'meta': meta}


# Mutations of what is saved ----------------------------------------------------------------------


def some_key(content: Content, rng: random.Random) -> str:
    return rng.choice([key for key in content['state_dict'] if not key.endswith('num_batches_tracked')])


def other_type(content: Content, rng: random.Random) -> None:
    key = some_key(content, rng)
    kinds = [torch.int8, torch.uint8, torch.int32, torch.bool, torch.complex64, torch.float8_e5m2, torch.float64]
    content['state_dict'][key] = content['state_dict'][key].to(rng.choice(kinds))


def not_finite(content: Content, rng: random.Random) -> None:
    weight = content['state_dict'][some_key(content, rng)].clone().float()
    weight.view(-1)[rng.randrange(weight.numel())] = rng.choice([math.nan, math.inf, -math.inf])
    content['state_dict'][some_key(content, rng)] = weight


def other_shape(content: Content, rng: random.Random) -> None:
    key = some_key(content, rng)
    weight = content['state_dict'][key]
    change = rng.choice([lambda x: x[None], lambda x: x.flatten()[:-1], lambda x: x.expand(2, *x.shape)])
    content['state_dict'][key] = change(weight)


def other_keys(content: Content, rng: random.Random) -> None:
    key = some_key(content, rng)
    new = rng.choice([0, 1.5, None, True, b'conv', ('conv', 'weight'), '', 'module.' + key, key + '.x', 'x' * 10_000])
    content['state_dict'][new] = content['state_dict'].pop(key)


def other_value(content: Content, rng: random.Random) -> None:
    values = [None, 1, 'text', [1.0], {}, {'a': 1}, content['state_dict']['conv.bias'].to_sparse()]
    content['state_dict'][some_key(content, rng)] = rng.choice(values)


def missing(content: Content, rng: random.Random) -> None:
    del content['state_dict'][some_key(content, rng)]


def nested(content: Content, rng: random.Random) -> None:
    weights = dict(content.pop('state_dict'))
    for _ in range(rng.randrange(4)):
        weights = {rng.choice(['state_dict', 'model', 'model_ema', 'net', 0]): weights}
    content.update(weights)


def notes(content: Content, rng: random.Random) -> None:
    bomb: Any = 'x'
    for _ in range(12):
        bomb = (bomb,) * 10
    odd = rng.choice([bomb, (bomb,), [1, None], 'text', 5, {}, [math.nan], [10**50], [[bomb] * 3], torch.ones(2)])
    place = rng.choice(['classes', 'palette', 'CLASSES', 'PALETTE'])
    target = rng.choice([content['meta'], content['meta']['dataset_meta'], content])
    target[place if target is not content else 'meta'] = odd


STRUCTURE: list[Callable[[Content, random.Random], None]] = [
    other_type,
    not_finite,
    other_shape,
    other_keys,
    other_value,
    missing,
    nested,
    notes,
]

# Mutations of the bytes --------------------------------------------------------------------------


def flip_bits(raw: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice([1, 1, 1, 2, 8])):
        raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)


def cut(raw: bytearray, rng: random.Random) -> None:
    del raw[rng.randrange(len(raw)) :]


def zero_page(raw: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(raw))
    raw[start : start + 512] = bytes(len(raw[start : start + 512]))


def drop(raw: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(raw))
    del raw[start : start + rng.randrange(1, 64)]


def insert(raw: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(raw))
    raw[start:start] = rng.randbytes(rng.randrange(1, 64))


BYTES: list[Callable[[bytearray, random.Random], None]] = [flip_bits, flip_bits, cut, zero_page, drop, insert]


def mutated(seed: int, path: Path) -> str:
    """Writes a mutated checkpoint and says how."""
    rng = random.Random(seed)
    content = copy.deepcopy(original())
    archive = rng.random() < 0.8
    if rng.random() < 0.5:
        mutation = rng.choice(STRUCTURE)
        mutation(content, rng)
        torch.save(content, path, _use_new_zipfile_serialization=archive)
        return mutation.__name__
    torch.save(content, path, _use_new_zipfile_serialization=archive)
    raw = bytearray(path.read_bytes())
    change = rng.choice(BYTES)
    change(raw, rng)
    path.write_bytes(raw)
    # The format before the archives has no checksum, so there a changed bit cannot be seen.
    return change.__name__ if archive else 'no checksum'


def outcome(path: Path, how: str) -> str:
    """'refused' or 'loaded', and never loaded with other weights."""
    net = Net()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            checkpoint = load_weights(path)
            assert checkpoint.classes is None or all(len(name) < 100 for name in checkpoint.classes)
            assert checkpoint.palette is None or len(checkpoint.palette) < 100
            load_strictly(net, checkpoint, 'the network')
    except CheckpointError as error:
        assert len(str(error)) < 3000
        return 'refused'
    expected = original()['state_dict']
    for key, weight in net.state_dict().items():
        if how != 'no checksum' and not key.endswith('num_batches_tracked'):
            assert torch.equal(weight, expected[key]), f'{key} is another one'
    return 'loaded'


@pytest.mark.filterwarnings('ignore::UserWarning')
def test_a_mutated_checkpoint_is_refused_or_whole(tmp_path):
    found: dict[str, int] = {}
    for seed in range(MUTATIONS):
        how = mutated(seed, tmp_path / 'a.pth')
        try:
            result = outcome(tmp_path / 'a.pth', how)
        except Exception as error:
            raise AssertionError(f'mutation {seed} ({how}): {type(error).__name__}: {error}') from error
        found[result] = found.get(result, 0) + 1
    assert found['refused'] > found['loaded'] > 0
    print(found)
