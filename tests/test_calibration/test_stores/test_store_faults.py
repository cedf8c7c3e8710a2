# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Headers that name paths, and data that has changed or moved."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mmcascade.calibration.stores import ScoreStore
from mmcascade.calibration.stores.data_identity import DataIdentity, FileIdentity
from mmcascade.calibration.stores.store import StaleStoreError
from mmcascade.datasets.data_files import data_identity
from tests.support.stored.synthetic_scores import make_store, skilled_logits


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
