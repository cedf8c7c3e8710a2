# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Several processes and users at one store."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mmcascade._system.files import remove_folder
from mmcascade.calibration.stores import StoreError
from mmcascade.calibration.stores.store import StaleStoreError, filling
from tests.test_calibration.test_stores.test_every_store.layouts import IMAGES, assert_same, bytes_in


@pytest.fixture
def public_folder():
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are for nobody else
        os.chmod(folder, 0o755)
        yield Path(folder)


@contextmanager
def another_user() -> Iterator[None]:
    before = os.geteuid()
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_of_several_that_are_made_in_one_place_one_is(layout, tmp_path):
    ends = []

    def make() -> None:
        try:
            ends.append(layout.kind.create(tmp_path / 's', layout.header(IMAGES)))
        except StoreError as error:
            ends.append(str(error))

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (store,) = (end for end in ends if not isinstance(end, str))
    refused = f'the {store.name} {tmp_path / "s"} cannot be made: there is a folder with something else in it'
    assert all(end.startswith(refused) for end in ends if end is not store)
    layout.write(store, IMAGES)
    make()
    assert ends[-1].startswith(refused)
    assert_same(layout.held(layout.kind.open(store.folder)), layout.given(IMAGES))
    assert [entry.name for entry in tmp_path.iterdir()] == ['s']


def test_one_at_a_time_fills_it(layout, tmp_path):
    folder = layout.made(tmp_path / 's', filled=2).folder
    with filling(folder):
        busy = rf'\(pid {os.getpid()} on .*\) is filling the store {folder}; wait'
        with pytest.raises(StoreError, match=busy), filling(folder):
            pass
        assert layout.kind.open(folder).filled == 2  # who reads need not wait
    with filling(folder):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason='becomes another user')
def test_who_may_only_read_reads_and_who_may_not_is_told_so(layout, public_folder):
    store = layout.made(public_folder / 's')
    with another_user():
        assert_same(layout.held(layout.kind.open(store.folder)), layout.given(IMAGES))
        with filling(store.folder):  # there is nothing to write, so nothing to lock
            pass
    for file in store.folder.iterdir():
        mode = file.stat().st_mode
        file.chmod(0)
        with another_user(), pytest.raises(StoreError, match='cannot be read: Permission denied') as raised:
            layout.held(layout.kind.open(store.folder))
        assert not isinstance(raised.value, StaleStoreError) and 'delete' not in str(raised.value)
        file.chmod(mode)


def test_reading_changes_nothing_whatever_a_reader_does_with_it(layout, tmp_path):
    folder = layout.made(tmp_path / 's').folder
    before, times = bytes_in(folder), {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    held = layout.held(layout.kind.open(folder))
    for values in held.values():
        values[...] = 1
    assert bytes_in(folder) == before and {file: file.stat().st_mtime_ns for file in folder.iterdir()} == times
    assert_same(layout.held(layout.kind.open(folder)), layout.given(IMAGES))


def test_who_reads_it_while_it_is_deleted_keeps_it(layout, tmp_path):
    store = layout.made(tmp_path / 's')
    held = layout.held(store)
    remove_folder(store.folder)
    assert not list(tmp_path.iterdir())
    assert_same(held, layout.given(IMAGES))
