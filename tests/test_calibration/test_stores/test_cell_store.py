# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import pytest

from mmcascade.calibration.stores import CellStore, ScoreStore, StoreError, open_store
from mmcascade.calibration.stores.cell_records import CellRecords, stored_subsets
from mmcascade.calibration.stores.header import CellHeader
from mmcascade.calibration.stores.store import holds_cells
from tests.support.stored.synthetic_cells import image_records, make_cell_store
from tests.support.stored.synthetic_scores import make_store, skilled_logits, stored_identity

ON = ['image', 'cell', 'cell']


def some(cells=3, seed=0):
    return image_records(np.random.default_rng(seed), cells, 5, ON, 'prob', odd=0.2)


def test_records_of_images_of_any_size_come_back(tmp_path):
    store = make_cell_store(tmp_path, 3, filled=0)
    written = [some(4), some(1, seed=1), some(7, seed=2)]
    for image, records in enumerate(written):
        assert not store.complete
        store.append(image, records)
        store = CellStore.open(tmp_path)
    cells = store.cells
    assert cells.image.tolist() == [0] * 4 + [1] + [2] * 7
    for field in fields(CellRecords):
        joined = np.concatenate([getattr(records, field.name) for records in written])
        assert np.array_equal(getattr(cells, field.name), joined, equal_nan=field.name == 'confidence')
    assert (cells.confidence.dtype, cells.intersect.dtype, cells.macs.dtype) == (np.float32, np.int32, np.float64)


def test_subsets_hold_what_any_chain_fuses():
    assert stored_subsets(3, 'prob') == [(0,), (0, 1), (0, 2), (0, 1, 2)]
    assert stored_subsets(3, 'logit') == stored_subsets(3, 'prob')
    assert stored_subsets(3, 'replace') == [(0,), (1,), (2,)]
    assert len(stored_subsets(5, 'prob')) == 2**4


def test_a_kill_between_records_and_count_loses_that_image_only(tmp_path, monkeypatch):
    store = make_cell_store(tmp_path, 3, filled=0)
    store.append(0, some())

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr('mmcascade.calibration.stores.store.write_json', killed)
    with pytest.raises(KeyboardInterrupt):
        store.append(1, some(9, seed=9))
    monkeypatch.undo()
    with open(tmp_path / 'cells.bin', 'ab') as file:
        file.write(b'a torn record')
    after = CellStore.open(tmp_path)
    assert after.filled == 1
    after.append(1, some(2, seed=3))
    after.append(2, some(2, seed=4))
    assert CellStore.open(tmp_path).cells.image.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert len((tmp_path / 'cells.bin').read_bytes()) == 7 * store._type.itemsize


@pytest.mark.parametrize('harm', ['cut', 'flip', 'progress', 'missing', 'header'])
def test_a_damaged_store_is_refused(tmp_path, harm):
    make_cell_store(tmp_path, 2)
    file, data = tmp_path / 'cells.bin', (tmp_path / 'cells.bin').read_bytes()
    if harm == 'cut':
        file.write_bytes(data[:-1])
    elif harm == 'flip':
        file.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    elif harm == 'progress':
        (tmp_path / 'progress.json').write_text('{"images": 5, "cells": 15, "checksum": 0}')
    elif harm == 'missing':
        file.unlink()
    else:
        header = json.loads((tmp_path / 'store.json').read_text())
        del header['subsets']
        (tmp_path / 'store.json').write_text(json.dumps(header))
    with pytest.raises(StoreError, match='is damaged: .*delete it and fill it again'):
        CellStore.open(tmp_path)


def test_stores_of_the_two_kinds_are_told_apart(tmp_path):
    make_cell_store(tmp_path / 'cells', 2)
    logits, labels = skilled_logits(4)
    make_store(tmp_path / 'scores', logits, labels)
    with pytest.raises(StoreError, match='is a store of cells, expected one of scores'):
        ScoreStore.open(tmp_path / 'cells')
    with pytest.raises(StoreError, match='is a store of scores, expected one of cells'):
        CellStore.open(tmp_path / 'scores')
    with pytest.raises(StoreError, match='no score store'):
        CellStore.open(tmp_path / 'nowhere')
    assert [holds_cells(tmp_path / name) for name in ('cells', 'scores', 'nowhere')] == [True, False, False]
    assert [type(open_store(tmp_path / name)) for name in ('cells', 'scores')] == [CellStore, ScoreStore]
    assert CellStore.exists(tmp_path / 'cells') and not CellStore.exists(tmp_path / 'nowhere')


def test_another_cascade_is_named(tmp_path):
    store = make_cell_store(tmp_path, 2)
    store.check_identity(store.header.identity)
    with pytest.raises(StoreError, match='differs from this run in its grid and preprocessing'):
        store.check_identity(replace(store.header.identity, grid='cells of 2 x 2', preprocessing='q'))


def test_an_incomplete_store_and_one_without_labels_give_no_cells(tmp_path):
    with pytest.raises(StoreError, match='holds 1 of 3 images'):
        _ = make_cell_store(tmp_path / 'a', 3, filled=1).cells
    store = make_cell_store(tmp_path / 'b', 1, filled=0)
    records = some()
    nothing = np.zeros_like(records.intersect)
    store.append(0, replace(records, label=records.label * 0, intersect=nothing, predicted=nothing))
    with pytest.raises(StoreError, match='no pixel of the images .* has a label'):
        _ = store.cells


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda r: {'cell': r.cell[::-1].copy()}, 'do not rise'),
        (lambda r: {'cell': r.cell + 65536}, 'do not rise within 0 to 65535'),
        (lambda r: {'area': r.area * 0}, 'no area'),
        (lambda r: {'label': r.label * 100}, 'more pixels are labelled'),
        (lambda r: {'label': r.label - 100}, 'negative'),
        (lambda r: {'predicted': r.predicted * 100}, 'more pixels are predicted'),
        (lambda r: {'intersect': r.predicted + 1}, 'more pixels are right'),
        (lambda r: {'confidence': r.confidence + np.inf}, 'a confidence is inf'),
        (lambda r: {'macs': r.macs * np.nan}, 'a cost is no finite number'),
        (lambda r: {'macs': r.macs[:, :2]}, r'macs has shape \(3, 2\), expected \(3, 3\)'),
        (lambda r: {'label': r.label.astype(float)}, 'label has type float64, expected int32'),
    ],
)
def test_records_that_contradict_each_other_are_refused(tmp_path, change, message):
    store = make_cell_store(tmp_path, 2, filled=0)
    records = image_records(np.random.default_rng(0), 3, 5, ON, 'prob')
    with pytest.raises(ValueError, match=f'records of image 0 do not fit: .*{message}'):
        store.append(0, replace(records, **change(records)))
    assert CellStore.open(tmp_path).filled == 0


def test_images_come_in_order(tmp_path):
    store = make_cell_store(tmp_path, 2, filled=0)
    with pytest.raises(ValueError, match='image 0 of 2 is the next one, got image 1'):
        store.append(1, some())


@pytest.mark.parametrize(
    'change, message',
    [
        ({'stages': ['a', 'a']}, 'a name of its own'),
        ({'on': ['image', 'pixel']}, "'image' or 'cell'"),
        ({'on': ['image']}, "'image' or 'cell'"),
        ({'fusion': 'sum'}, "unknown fusion 'sum'"),
        ({'empty': 'stay'}, "empty is 'go_on' or 'exit'"),
    ],
)
def test_a_store_that_makes_no_sense_is_not_made(change, message):
    good = dict(images=1, classes=3, stages=['a', 'b'], on=['image', 'cell'], fusion='prob', confidence='max_prob')
    identity = stored_identity(['a', 'b'], 1, confidence='max_prob', fusion='prob')
    with pytest.raises(ValueError, match=message):
        CellHeader(identity=identity, **good | change)
