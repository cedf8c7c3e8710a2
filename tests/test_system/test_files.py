# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import json
import os

import pytest

from mmcascade._system.files import check_writable, write_json, write_text


def test_a_folder_is_made_and_nothing_else_is_left(tmp_path):
    path = tmp_path / 'new' / 'x.json'
    write_json(path, {'a': [1, 2.5]})
    assert json.loads(path.read_text()) == {'a': [1, 2.5]}
    assert [entry.name for entry in path.parent.iterdir()] == ['x.json']


def test_what_cannot_be_written_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'x.json'
    write_json(path, 1)
    with pytest.raises(ValueError, match='not JSON compliant'):
        write_json(path, float('nan'))
    monkeypatch.setattr(os, 'fsync', lambda number: (_ for _ in ()).throw(OSError('the disk is full')))
    with pytest.raises(OSError, match='full'):
        write_text(path, '2')
    assert path.read_text() == '1\n'


def test_bad_places_are_told_before_the_work(tmp_path):
    check_writable(tmp_path / 'a' / 'b.json')
    assert (tmp_path / 'a').is_dir()
    with pytest.raises(ValueError, match='is a folder; name a file'):
        check_writable(tmp_path / 'a')
    (tmp_path / 'file').write_text('')
    with pytest.raises(ValueError, match='cannot be written'):
        check_writable(tmp_path / 'file' / 'b.json')
