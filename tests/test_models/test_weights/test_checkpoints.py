# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Checkpoints of every layout and format give their weights and class names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mmengine.config import ConfigDict
from torch import nn

from mmcascade.models.members.weights.checkpoints import (
    load_weights,
)
from tests.test_models.saved_checkpoints import WEIGHTS, same, saved


@pytest.mark.parametrize(
    'layout',
    [
        lambda weights: {'state_dict': weights, 'meta': {'epoch': 3}},
        lambda weights: {'model': weights, 'optimizer': {'lr': 1.0}, 'meta': {'epoch': 3}},
    ],
)
def test_weights_and_meta(tmp_path, layout):
    checkpoint = load_weights(saved(tmp_path / 'a.pth', layout(WEIGHTS)))
    assert same(checkpoint.state_dict, WEIGHTS)
    assert checkpoint.meta == {'epoch': 3}
    assert checkpoint.path == tmp_path / 'a.pth'


@pytest.mark.parametrize('options', [{}, {'_use_new_zipfile_serialization': False}])
def test_bare_state_dict_in_both_formats_of_torch(tmp_path, options):
    checkpoint = load_weights(saved(tmp_path / 'a.pth', WEIGHTS, **options))
    assert same(checkpoint.state_dict, WEIGHTS)
    assert checkpoint.meta == {} and checkpoint.classes is None


def test_versions_in_a_state_dict_survive(tmp_path):
    state_dict = nn.BatchNorm2d(2).state_dict()
    loaded = load_weights(saved(tmp_path / 'a.pth', {'state_dict': state_dict})).state_dict
    assert loaded._metadata == state_dict._metadata


def test_safetensors(tmp_path):
    save_file = pytest.importorskip('safetensors.torch').save_file
    save_file(WEIGHTS, tmp_path / 'a.safetensors')
    loaded = load_weights(tmp_path / 'a.safetensors').state_dict
    assert same({key: loaded[key] for key in WEIGHTS}, WEIGHTS)


@pytest.mark.parametrize(
    'meta, expected',
    [
        ({'dataset_meta': {'classes': ['a', 'b']}}, ('a', 'b')),
        ({'dataset_meta': {'CLASSES': ('a', 'b')}}, ('a', 'b')),
        ({'CLASSES': ('a', 'b')}, ('a', 'b')),
        ({'dataset_meta': ConfigDict(classes=[0, 1])}, ('0', '1')),
        ({'dataset_meta': {'classes': None}}, None),
        ({'dataset_meta': None}, None),
        ({'CLASSES': []}, None),
        ({}, None),
        ({'CLASSES': [('a',), 'b']}, None),
        ({'CLASSES': [b'a', 'b']}, None),
        ({'CLASSES': [True, False]}, None),
        ({'CLASSES': [10**400, 1]}, None),
    ],
)
def test_class_names(tmp_path, meta, expected):
    path = saved(tmp_path / 'a.pth', {'state_dict': WEIGHTS, 'meta': meta})
    assert load_weights(path).classes == expected


def test_class_names_are_no_memory_bomb(tmp_path):
    laughs: Any = 'x'
    for _ in range(30):
        laughs = (laughs,) * 10
    path = saved(tmp_path / 'a.pth', {'state_dict': WEIGHTS, 'meta': {'CLASSES': (laughs,)}})
    assert load_weights(path).classes is None


@pytest.mark.parametrize(
    'palette, expected',
    [
        ([[0, 0, 0], [255, 0, 0]], ((0, 0, 0), (255, 0, 0))),
        (((0.0, 1.0, 2.0),), ((0, 1, 2),)),
        (np.array([[0, 0, 0], [255, 0, 0]]), None),
        ([np.array([0, 0, 0]), np.array([255, 0, 0])], None),
        ([None, None], None),
        ([[0, 0, 0], None], None),
        ([0, 0, 0, 255, 0, 0], None),
        ([[0, 0], [1, 1]], None),
        (['red', 'one'], None),
        ([[0, 0, float('nan')]], None),
        ([[10**400, 0, 0]], None),
        ('random', None),
    ],
)
def test_palettes_of_all_kinds(tmp_path, palette, expected):
    path = saved(tmp_path / 'a.pth', {'state_dict': WEIGHTS, 'meta': {'dataset_meta': {'palette': palette}}})
    assert load_weights(path).palette == expected


def test_numpy_names_of_both_generations(tmp_path):
    # Protocol 2 writes names in plain text, so the other generation's name can be put in.
    content = (tmp_path / 'a.pth', {'state_dict': WEIGHTS, 'meta': {'best': np.float64(1.0)}})
    path = saved(*content, _use_new_zipfile_serialization=False)
    raw = path.read_bytes()
    for mine, other in ((b'numpy._core.', b'numpy.core.'), (b'numpy.core.', b'numpy._core.')):
        path.write_bytes(raw.replace(mine, other))
        assert same(load_weights(path).state_dict, WEIGHTS)
