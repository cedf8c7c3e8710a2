# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What is left of a store whose run ends at any moment, or whose disk is full."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import signal
import time
from multiprocessing import get_context
from pathlib import Path

import pytest

from mmcascade.calibration.stores import StoreError
from mmcascade.calibration.stores.store import PROGRESS
from tests.test_calibration.test_stores.test_every_store.layouts import (
    IMAGES,
    LAYOUTS,
    Killed,
    Layout,
    assert_same,
    at_sync,
    bytes_in,
)


def test_a_kill_at_any_moment_loses_what_was_not_counted_and_nothing_else(layout, tmp_path, monkeypatch):
    half, expected = layout.made(tmp_path / 'half', filled=2), bytes_in(layout.made(tmp_path / 'whole').folder)
    for moment in itertools.count():
        folder = shutil.copytree(half.folder, tmp_path / str(moment))
        try:
            with at_sync(monkeypatch, moment, Killed()):
                layout.write(layout.kind.open(folder), 3, seed=9)
            break
        except Killed:
            pass
        after = layout.kind.open(folder)
        assert after.filled == 2
        layout.write(after, IMAGES)
        assert bytes_in(folder) == expected
    assert moment >= 2
    assert layout.kind.open(folder).filled == 3


def test_what_lies_beyond_the_count_is_written_over(layout, tmp_path):
    folder = layout.made(tmp_path / 's', filled=2).folder
    for file in (file for file in folder.iterdir() if file.suffix != '.json'):
        data = file.read_bytes()
        file.write_bytes(data[:-8] + b'\xff' * 8 if file.suffix == '.npy' else data + b'a torn record' * 1000)
    store = layout.kind.open(folder)
    layout.write(store, IMAGES)
    assert bytes_in(folder) == bytes_in(layout.made(tmp_path / 'whole').folder)


def test_outputs_are_on_disk_before_they_are_counted(layout, tmp_path, monkeypatch):
    store = layout.made(tmp_path / 's', filled=2)
    before = bytes_in(store.folder)
    with at_sync(monkeypatch, -1, Killed()) as synced:
        layout.write(store, 3)
    after = bytes_in(store.folder)
    assert synced[-1].startswith(f'.{PROGRESS}.')
    changed = {file for file in after if after[file] != before.get(file)} - {PROGRESS}
    assert changed and changed <= set(synced[:-1])


def test_a_full_disk_is_one_line_and_takes_nothing_away(layout, tmp_path, monkeypatch):
    full = OSError(errno.ENOSPC, 'No space left on device')
    with at_sync(monkeypatch, 0, full), pytest.raises(StoreError, match='s cannot be made: No space left on dev'):
        layout.kind.create(tmp_path / 's', layout.header(IMAGES))
    assert not list(tmp_path.iterdir())
    store = layout.made(tmp_path / 's', filled=2)
    for moment in (0, 1):
        with at_sync(monkeypatch, moment, full), pytest.raises(StoreError, match='s cannot be written: No space'):
            layout.write(store, 3, seed=9)
        assert layout.kind.open(store.folder).filled == store.filled == 2
    layout.write(store, IMAGES)  # somebody made room
    assert_same(layout.held(layout.kind.open(store.folder)), layout.given(IMAGES))


def fill_slowly(layout: Layout, folder: Path) -> None:
    """Go on with a store over and over, one image at a time, as slowly as members would."""
    store = layout.kind.open(folder)
    while not store.complete:
        layout.write(store, store.filled + 1)
        time.sleep(0.002)


@pytest.mark.parametrize('name', ['scores', 'cells'])
def test_kill_9_loses_and_doubles_nothing(name, tmp_path):
    layout, context = LAYOUTS[name], get_context('fork')
    for round in range(8):
        folder = tmp_path / str(round)
        layout.made(folder, filled=0)
        process = context.Process(target=fill_slowly, args=(layout, folder))
        process.start()
        time.sleep(0.002 * round)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode in (-signal.SIGKILL, 0)
        store = layout.kind.open(folder)
        layout.write(store, IMAGES)
        assert_same(layout.held(layout.kind.open(folder)), layout.given(IMAGES))
