# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Files that are missing, cut off, changed or no checkpoint are refused by name."""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mmcascade.models.members.weights.checkpoints import (
    CheckpointError,
    DamagedCheckpointError,
    UnsafeCheckpointError,
    load_weights,
)
from tests.test_models.saved_checkpoints import WEIGHTS, same, saved


def test_missing_file_names_what_is_there(tmp_path):
    saved(tmp_path / 'epoch_2.pth', WEIGHTS)
    with pytest.raises(FileNotFoundError, match=r"epoch_3\.pth' is not a file.*epoch_2\.pth"):
        load_weights(tmp_path / 'epoch_3.pth')
    with pytest.raises(FileNotFoundError, match='is not a file'):
        load_weights(tmp_path)


@pytest.mark.parametrize('options', [{}, {'_use_new_zipfile_serialization': False}])
@pytest.mark.parametrize('kept', [0.0, 0.3, 0.6, 0.95])
@pytest.mark.parametrize('allow_unsafe', [False, True])
@pytest.mark.filterwarnings('ignore:checkpoint:UserWarning')
def test_cut_off_file(tmp_path, options, kept, allow_unsafe):
    path = saved(tmp_path / 'a.pth', {'state_dict': {'w': torch.ones(1000)}}, **options)
    raw = path.read_bytes()
    path.write_bytes(raw[: int(kept * len(raw))])
    with pytest.raises(CheckpointError, match=r'a\.pth.*cut off, damaged') as error:
        load_weights(path, allow_unsafe)
    assert not isinstance(error.value, UnsafeCheckpointError)


@pytest.mark.filterwarnings('ignore:Detected pickle protocol:UserWarning')
@pytest.mark.parametrize(
    'name, content',
    [
        ('a.txt', b'a text of some length\n' * 20),
        ('a.pth', b'\x89HDF\r\n\x1a\n' + bytes(200)),
        ('a.pkl', pickle.dumps({'w': [1.0, 2.0]})),
        ('a.safetensors', b'no safetensors at all'),
    ],
    ids=['text', 'HDF5', 'pickle', 'safetensors'],
)
def test_foreign_format(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match='cannot be read') as error:
        load_weights(tmp_path / name)
    assert 'weights_only' not in str(error.value)


@pytest.mark.parametrize(
    'content, message',
    [
        ({'epoch': 3, 'lr': 0.1}, "'epoch', 'lr' are something else"),
        ({'state_dict': {'w': torch.ones(1), 'note': 'text'}}, "'note' is something else"),
        ({'state_dict': {}}, 'it is empty'),
        ([torch.ones(1)], 'holds a list'),
        (torch.ones(1), 'holds a Tensor'),
        ({'state_dict': OrderedDict(a=np.ones(2))}, "'a' is something else"),
        ({'state_dict': {0: torch.ones(1)}}, 'names tensors by int'),
        ({'state_dict': {'a': torch.ones(1), ('b',): torch.ones(1), None: 0}}, 'names tensors by NoneType, tuple'),
        ({'a' * 9999: 1}, "'a{80}' is something else"),
    ],
)
def test_a_readable_file_without_weights(tmp_path, content, message):
    with pytest.raises(CheckpointError, match=message):
        load_weights(saved(tmp_path / 'a.pth', content))


@pytest.mark.filterwarnings('ignore::FutureWarning', "ignore:'torch.load' received:UserWarning")
def test_torchscript_is_no_checkpoint(tmp_path):
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), tmp_path / 'a.pt')
    with pytest.raises(CheckpointError, match='cannot be read'):
        load_weights(tmp_path / 'a.pt')


def changed(path: Path, old: bytes, new: bytes) -> Path:
    raw = path.read_bytes()
    assert old in raw
    path.write_bytes(raw.replace(old, new, 1))
    return path


@pytest.mark.parametrize('allow_unsafe', [False, True])
def test_one_changed_bit(tmp_path, allow_unsafe):
    weights = torch.rand(1000)
    old = weights.numpy().tobytes()[400:410]
    path = changed(saved(tmp_path / 'a.pth', {'w': weights}), old, bytes([old[0] ^ 8]) + old[1:])
    with pytest.raises(DamagedCheckpointError, match=r"checksum of its entry 'a/data/0' is another"):
        load_weights(path, allow_unsafe)


def rezipped(path: Path, compression: int) -> Path:
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, 'w', compression) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def test_compressed_archives_are_not_unpacked(tmp_path):
    bomb = rezipped(saved(tmp_path / 'bomb.pth', {'w': torch.zeros(4_000_000)}), zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 40_000
    with pytest.raises(DamagedCheckpointError, match='entries are compressed'):
        load_weights(bomb)
    stored = rezipped(saved(tmp_path / 'stored.pth', WEIGHTS), zipfile.ZIP_STORED)
    assert same(load_weights(stored).state_dict, WEIGHTS)
