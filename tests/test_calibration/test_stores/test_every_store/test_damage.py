# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A store that somebody has changed is not read."""

from __future__ import annotations

import itertools
import json

import pytest

from mmcascade.calibration.stores import StoreError
from mmcascade.calibration.stores.store import HEADER, PROGRESS, StaleStoreError
from tests.test_calibration.test_stores.test_every_store.layouts import IMAGES, assert_same


def is_damage(error: StoreError) -> bool:
    """Whether it is that of a store that only a new one can replace."""
    return isinstance(error, StaleStoreError) and ' is damaged: ' in str(error) and 'delete it and fill' in str(error)


def test_a_flipped_bit_of_any_output_is_seen(layout, tmp_path):
    store = layout.made(tmp_path / 's')
    for file in (file for file in store.folder.iterdir() if file.suffix != '.json'):
        data = file.read_bytes()
        start = len(data) - store._files[file.name].read().nbytes if file.suffix == '.npy' else 0
        for at in {start, (start + len(data)) // 2, len(data) - 1}:
            file.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
            with pytest.raises(StaleStoreError, match=rf'{store.folder} is damaged: {file.name} is not what was'):
                layout.kind.open(store.folder)
        file.write_bytes(data)
    assert_same(layout.held(layout.kind.open(store.folder)), layout.given(IMAGES))


def test_a_file_that_is_cut_or_gone_or_another_is_named(layout, tmp_path):
    folder = layout.made(tmp_path / 's').folder
    for file in sorted(folder.iterdir()):
        data = file.read_bytes()
        for harmed in (data[:-3], data[: len(data) // 2], b'', b'[]', None):
            file.unlink()
            if harmed is not None:
                file.write_bytes(harmed)
            with pytest.raises(StoreError, match=file.name) as raised:
                layout.kind.open(folder)
            assert str(folder) in str(raised.value)
            if file.name != HEADER:
                assert is_damage(raised.value)
        file.write_bytes(data)


def test_an_edited_header_is_seen(layout, tmp_path):
    folder = layout.made(tmp_path / 's').folder
    written = json.loads((folder / HEADER).read_text())
    for key in sorted(written.keys() - {'schema'}):
        (folder / HEADER).write_text(json.dumps(written | {key: 'x'}))
        with pytest.raises(StaleStoreError, match=f'is damaged: {HEADER} was edited since it was written; delete'):
            layout.kind.open(folder)


def test_a_count_that_cannot_be_is_seen(layout, tmp_path):
    folder = layout.made(tmp_path / 's').folder
    written = json.loads((folder / PROGRESS).read_text())
    for key, value in itertools.product(written, (-1, 99, 2.0, None, '5', True, [5], {'a': 1})):
        (folder / PROGRESS).write_text(json.dumps(written | {key: value}))
        with pytest.raises(StaleStoreError, match='is damaged: '):
            layout.kind.open(folder)
