# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What is written comes back, and a store says what it holds."""

from __future__ import annotations

import errno
import itertools
import json
from dataclasses import replace

import pytest

from mmcascade.calibration.stores import StoreError, open_store
from mmcascade.calibration.stores.data_identity import DataIdentity, FileIdentity
from mmcascade.calibration.stores.store import HEADER, OtherStoreError, StaleStoreError, holds_cells
from tests.support.families import descendants
from tests.test_calibration.test_stores.test_every_store.layouts import (
    IMAGES,
    LAYOUTS,
    OTHERS,
    assert_same,
    at_sync,
    bytes_in,
)


def test_every_store_is_here():
    assert {layout.kind.__name__ for layout in LAYOUTS.values()} == descendants('Store')


def test_what_is_written_in_any_batches_comes_back_bit_for_bit(layout, tmp_path):
    whole = layout.made(tmp_path / 'whole')
    assert_same(layout.held(whole), layout.given(IMAGES))
    expected = bytes_in(whole.folder)
    for number, cuts in enumerate(itertools.product([False, True], repeat=IMAGES - 1)):
        folder = tmp_path / str(number)
        layout.made(folder, filled=0)
        for stop in [k + 1 for k, cut in enumerate(cuts) if cut] + [IMAGES]:
            store = layout.kind.open(folder)  # each batch by a run of its own
            layout.write(store, stop)
            assert (store.filled, store.complete) == (stop, stop == IMAGES)
        assert_same(layout.held(store), layout.given(IMAGES))
        assert bytes_in(folder) == expected
    assert_same(layout.held(layout.kind.open(folder)), layout.given(IMAGES))


def test_half_a_store_says_so_and_is_not_read(layout, tmp_path):
    for filled in range(IMAGES):
        store = layout.made(tmp_path / str(filled), filled)
        assert (store.filled, store.header.size, store.complete) == (filled, IMAGES, False)
        for read in (store.check_complete, lambda store=store: layout.held(store)):
            with pytest.raises(StoreError, match=rf'holds {filled} of 5 \w+; finish it with tools/calibrate.py'):
                read()


def test_one_of_no_images_is_complete(layout, tmp_path):
    layout.made(tmp_path / 's', filled=0, images=0)
    assert layout.kind.open(tmp_path / 's').complete


def test_the_header_comes_back(layout, tmp_path):
    header = layout.header(IMAGES)
    written = json.loads(json.dumps(header.to_json()))
    assert type(header).from_json(written) == header and header.size == IMAGES
    store = layout.made(tmp_path / 's', filled=1)
    assert layout.kind.open(store.folder).header == header == store.header
    assert json.loads((store.folder / HEADER).read_text()).items() >= written.items()


def test_another_cascade_or_other_data_is_named(layout, tmp_path):
    store = layout.made(tmp_path / 's')
    here = store.header.identity
    store.check_identity(replace(here))
    for what, change in OTHERS.items():
        other = change(here)
        with pytest.raises(OtherStoreError, match=rf'{store.folder} differs .* in its {what}; delete it') as raised:
            store.check_identity(other)
        assert raised.value.changed == [what] and isinstance(raised.value, StaleStoreError)
        store.check_identity(other, except_for=[what])
    both = OTHERS['members'](OTHERS['data'](here))
    with pytest.raises(OtherStoreError, match='in its members and data; delete it or name another folder'):
        store.check_identity(both)


def test_the_same_data_elsewhere_is_noted_where_one_may_write(layout, tmp_path, monkeypatch):
    then, now = (DataIdentity(IMAGES, place, FileIdentity(place, 'same')) for place in ('here', 'there'))
    header = layout.header(IMAGES)
    old = layout.kind.create(tmp_path / 's', replace(header, identity=replace(header.identity, data=then)))
    layout.write(old, IMAGES)
    here = replace(header.identity, data=now)
    old.check_identity(here)
    before = bytes_in(old.folder)
    with at_sync(monkeypatch, 0, OSError(errno.EROFS, 'Read-only file system')):
        old.identify(here, 'moved')
    assert bytes_in(old.folder) == before
    layout.kind.open(old.folder).identify(here, 'moved')
    again = layout.kind.open(old.folder)
    assert again.header.identity.data.traces() == now.traces() and again.header.config == 'moved'
    assert_same(layout.held(again), layout.given(IMAGES))


def test_kinds_are_told_apart(layout, tmp_path):
    store = layout.made(tmp_path / 'there' / 's')
    for other in {each.kind for each in LAYOUTS.values()} - {layout.kind}:
        kinds = f'is a store of {store.header.kind}, expected one of {other.header_type.kind}'
        with pytest.raises(StoreError, match=kinds):
            other.open(store.folder)
    assert type(open_store(store.folder)) is layout.kind and layout.kind.exists(store.folder)
    assert holds_cells(store.folder) == (store.header.kind == 'cells')
    nowhere = tmp_path / 'nowhere'
    assert not layout.kind.exists(nowhere) and not holds_cells(nowhere)
    with pytest.raises(StoreError, match=f'{nowhere} is no score store: it has no store.json$'):
        layout.kind.open(nowhere)
    with pytest.raises(StoreError, match='it has no store.json; in it there is s$'):
        layout.kind.open(tmp_path / 'there')
    header = store.folder / HEADER
    header.write_text(json.dumps(json.loads(header.read_text()) | dict(schema=9)))
    with pytest.raises(StoreError, match='has schema 9, and this version of mmcascade reads up to 2') as raised:
        layout.kind.open(store.folder)
    assert not isinstance(raised.value, StaleStoreError), 'another version can read it'


def test_what_does_not_fit_is_refused_and_leaves_no_trace(layout, tmp_path):
    store = layout.made(tmp_path / 's', filled=2)
    before = bytes_in(store.folder)
    for write, says in layout.wrong:
        with pytest.raises(ValueError, match=says):
            write(store)
        assert bytes_in(store.folder) == before and store.filled == 2
    layout.write(store, IMAGES)
    assert_same(layout.held(layout.kind.open(store.folder)), layout.given(IMAGES))
    with pytest.raises(ValueError, match=r'holds 5 of 5 \w+ and takes 0 more, got 1$'):
        layout.write(store, IMAGES + 1)
    assert_same(layout.held(layout.kind.open(store.folder)), layout.given(IMAGES))
