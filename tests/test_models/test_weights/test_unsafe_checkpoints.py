# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Code in a checkpoint never runs without the opt-in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.logging import HistoryBuffer

from mmcascade.models.members.weights.checkpoints import (
    UnsafeCheckpointError,
    load_weights,
)
from mmcascade.models.members.weights.stand_ins import Inert
from tests.test_models.saved_checkpoints import WEIGHTS, Net, same, saved


class Calls:
    """Pickles as a call."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args

    def __call__(self) -> None:
        """So that pickle takes it for a function."""


@pytest.mark.parametrize(
    'function, args, named',
    [
        (os.system, 'touch {marker}', 'posix.system'),
        (eval, "open({marker!r}, 'w').close()", 'eval'),
        (Path, '{marker}', 'pathlib'),
    ],
)
@pytest.mark.parametrize('options', [{}, {'_use_new_zipfile_serialization': False}])
def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path, function, args, named, options):
    marker = tmp_path / 'marker'
    evil = Calls(function, args.format(marker=str(marker)))
    path = saved(tmp_path / 'evil.pth', {'state_dict': WEIGHTS, 'meta': evil}, **options)
    with pytest.raises(UnsafeCheckpointError) as error:
        load_weights(path)
    assert str(path) in str(error.value)
    assert named in str(error.value)
    assert 'unsafe_checkpoint=True' in str(error.value)
    assert not marker.exists()


def test_the_opt_in_reads_it_after_all_and_says_so(tmp_path):
    marker = tmp_path / 'marker'
    evil = Calls(os.system, f'touch {marker}')
    path = saved(tmp_path / 'evil.pth', {'state_dict': WEIGHTS, 'extra': evil})
    with pytest.warns(UserWarning, match=r'evil\.pth.*system'):
        checkpoint = load_weights(path, allow_unsafe=True)
    assert same(checkpoint.state_dict, WEIGHTS)
    assert marker.exists()


def test_the_opt_in_is_not_used_where_it_is_not_needed(tmp_path, recwarn):
    load_weights(saved(tmp_path / 'a.pth', WEIGHTS), allow_unsafe=True)
    assert not [w for w in recwarn if 'protection' in str(w.message)]


def test_getattr_gets_nothing(tmp_path):
    path = saved(tmp_path / 'a.pth', {'state_dict': WEIGHTS, 'meta': {'got': Calls(getattr, 'abc', 'upper')}})
    assert type(load_weights(path).meta['got']) is Inert


def test_what_getattr_gives_cannot_be_called(tmp_path):
    path = saved(tmp_path / 'a.pth', {'state_dict': WEIGHTS, 'meta': Calls(Calls(getattr, 'abc', 'upper'))})
    with pytest.raises(UnsafeCheckpointError, match='unknown kind'):
        load_weights(path)


def test_inert_objects_keep_nothing():
    inert = Inert('any', arguments=1)
    inert.__setstate__({'a': 1})
    assert not hasattr(inert, '__dict__') and not hasattr(inert, 'a')


def test_what_the_process_admits_is_kept_but_stand_ins_win(tmp_path):
    path = saved(
        tmp_path / 'a.pth',
        {
            'state_dict': WEIGHTS,
            'message_hub': {'loss': HistoryBuffer([1.0], [1])},
            'meta': {'got': Calls(getattr, 'abc', 'upper'), 'mine': Net},
        },
    )
    admitted = [getattr, HistoryBuffer, Net]
    before = set(torch.serialization.get_safe_globals())
    with torch.serialization.safe_globals(admitted):
        checkpoint = load_weights(path)
        assert set(torch.serialization.get_safe_globals()) == before.union(admitted)
    assert type(checkpoint.meta['got']) is Inert
    assert checkpoint.meta['mine'] is Net
    assert set(torch.serialization.get_safe_globals()) == before


def test_nothing_stays_admitted_after_a_refusal(tmp_path):
    before = set(torch.serialization.get_safe_globals())
    with pytest.raises(UnsafeCheckpointError):
        load_weights(saved(tmp_path / 'a.pth', {'state_dict': WEIGHTS, 'x': Calls(os.system, '')}))
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.filterwarnings('ignore:Detected pickle protocol:UserWarning')
def test_another_pickle_protocol_needs_the_opt_in(tmp_path):
    path = saved(tmp_path / 'a.pth', WEIGHTS, pickle_protocol=4)
    with pytest.raises(UnsafeCheckpointError, match=r'protocol.*unsafe_checkpoint=True'):
        load_weights(path)
    with pytest.warns(UserWarning, match='protocol than the 2'):
        assert same(load_weights(path, allow_unsafe=True).state_dict, WEIGHTS)
