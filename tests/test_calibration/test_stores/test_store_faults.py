# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Disks that are full or may only be read, garbled bytes, edited headers, and data that has changed or moved."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmcascade.calibration.stores import ScoreStore, StoreError, open_store
from mmcascade.calibration.stores.data_identity import DataIdentity, FileIdentity
from mmcascade.calibration.stores.store import StaleStoreError, filling
from mmcascade.datasets.data_files import data_identity
from tests.support.stored.synthetic_cells import make_cell_store
from tests.support.stored.synthetic_scores import make_store, score_header, skilled_logits


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / 'store', *skilled_logits(20, 4, (1.0, 2.0)))


@pytest.mark.parametrize('file', ['stage0.npy', 'stage1.npy', 'labels.npy', 'macs.npy'])
def test_one_flipped_bit_is_seen(store, file):
    path = store.folder / file
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    with pytest.raises(StaleStoreError, match=f'is damaged: {file} is not what was written'):
        ScoreStore.open(store.folder)


@pytest.mark.parametrize('change', [{'kinds': ['probabilities'] * 2}, {'config': 'x'}, {'sources': ['a', 'b']}])
def test_an_edited_header_is_seen(store, change):
    path = store.folder / 'store.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(StaleStoreError, match=r'store.json was edited'):
        ScoreStore.open(store.folder)


@pytest.mark.parametrize('name', ['a/../../../owned', '..', '.', '', 'a\\b', 'a\0b', 'a\nb', '/etc'])
def test_no_member_of_a_stored_header_names_a_path(name, tmp_path):
    with pytest.raises(ValueError, match='a member has a printable name'):
        make_store(tmp_path / 's', *skilled_logits(20, 4, (1.0, 2.0)), names=[name, 'b'])
    shutil.copytree(Path(__file__).parent / 'stores_of_0_1' / 'scores', tmp_path / 'forged')
    header = json.loads((tmp_path / 'forged' / 'store.json').read_text())
    header['identity']['members']['stages'][0]['member'] = name
    (tmp_path / 'forged' / 'store.json').write_text(json.dumps(header))
    with pytest.raises(StaleStoreError, match='a member has a printable name'):
        ScoreStore.open(tmp_path / 'forged')


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'posix_fallocate', full)
    with pytest.raises(StoreError, match='cannot be made: No space left on device'):
        ScoreStore.create(tmp_path / 's', score_header(9, 3, ['logits']))
    assert not list(tmp_path.iterdir())


def test_a_store_takes_the_space_that_it_will_need(tmp_path):
    store = ScoreStore.create(tmp_path / 's', score_header(5000, 100, ['logits']))
    assert (store.folder / 'stage0.npy').stat().st_blocks * 512 >= 5000 * 100 * 4


def test_nothing_is_emptied_by_a_second_creation(store):
    before = np.array(store.scores[0])
    with pytest.raises(StoreError, match='something else in it'):
        ScoreStore.create(store.folder, store.header)
    assert np.array_equal(store.scores[0], before)


@pytest.fixture
def public_folder():
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are for nobody else
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason='becomes another user')
@pytest.mark.parametrize('kind', ['scores', 'cells'])
def test_who_may_only_read_reads_and_who_may_not_is_told_so(kind, public_folder):
    folder = public_folder / kind
    if kind == 'scores':
        make_store(folder, *skilled_logits(20, 4, (1.0, 2.0)))
    else:
        make_cell_store(folder, 2)
    before = os.geteuid()
    os.seteuid(65534)
    try:
        assert open_store(folder).complete
        with filling(folder):  # there is nothing to write, so nothing to lock
            pass
    finally:
        os.seteuid(before)
    (folder / 'progress.json').chmod(0)
    os.seteuid(65534)
    try:
        with pytest.raises(StoreError, match='cannot be read: Permission denied') as raised:
            open_store(folder)
        assert not isinstance(raised.value, StaleStoreError) and 'delete' not in str(raised.value)
    finally:
        os.seteuid(before)


def test_labels_are_classes(tmp_path, store):
    with pytest.raises(StoreError, match='labels are 0 to 3'):
        store.relabel(np.full(20, 4))
    held = np.array(store.labels)
    store.relabel((held + 1) % 4)
    assert np.array_equal(ScoreStore.open(store.folder).labels, (held + 1) % 4)
    assert np.array_equal(ScoreStore.open(store.folder).scores[0], store.scores[0])


class Images:
    """A data set of files and labels."""

    metainfo = {'classes': ('a', 'b')}

    def __init__(self, folder, labels):
        self.infos = [dict(img_path=str(path), gt_label=label) for path, label in zip(folder, labels, strict=True)]

    def __len__(self):
        return len(self.infos)

    def get_data_info(self, index):
        return self.infos[index]


@pytest.fixture
def files(tmp_path):
    for name in 'abc':
        (tmp_path / name).write_text(name)
    return [tmp_path / name for name in 'abc']


def test_data_is_told_again(files, tmp_path):
    then = DataIdentity.from_json(json.loads(json.dumps(data_identity(Images(files, [0, 1, 1])).to_json())))
    assert then.differences(data_identity(Images(files, [0, 1, 1]))) == []
    assert then.differences(data_identity(Images(files, [0, 1, 0]))) == ['labels or annotations']
    assert then.differences(data_identity(Images(files, [0, 1, 0]), labelled=False)) == []
    assert then.differences(data_identity(Images(files[:2], [0, 1]))) == ['data']
    (tmp_path / 'elsewhere').mkdir()
    moved = [tmp_path / 'elsewhere' / file.name for file in files]
    for old, new in zip(files, moved, strict=True):
        new.write_bytes(old.read_bytes())
    here = data_identity(Images(moved, [0, 1, 1]))
    assert then.differences(here) == [] and then.moved(here)
    assert then.differences(data_identity(Images(moved[::-1], [1, 1, 0]))) == ['data', 'labels or annotations']
    os.utime(files[0], (1, 1))  # touched, not changed
    assert then.differences(data_identity(Images(files, [0, 1, 1]))) == []
    files[0].write_text('x')
    assert then.differences(data_identity(Images(files, [0, 1, 1]))) == ['content of the images']


def test_what_0_1_noted_is_compared_and_nothing_else():
    here = DataIdentity(3, 'f', FileIdentity('s', 'c'), FileIdentity('t', 'd'))
    assert DataIdentity(3, 'f').differences(here) == []
    assert DataIdentity(3, 'g').differences(here) == ['data']
    assert replace(here, labels=FileIdentity('u', 'd')).differences(here) == []
