# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Store files cut, garbled, replaced and edited: each is refused in one clear error, or gives what was written.

``MMCASCADE_FUZZ=1000 pytest tests/fuzz`` tries so many of them instead of a few. Seeds are fixed, so a failure is found
again by its number.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmcascade.calibration.stores import CellStore, ScoreStore, StoreError, open_store
from tests.support.stored.synthetic_cells import make_cell_store
from tests.support.stored.synthetic_scores import make_store, skilled_logits

MUTATIONS = int(os.environ.get('MMCASCADE_FUZZ', '20'))
ODD: list[Any] = [None, True, '', 'x', [], {}, -1, 0, 2, 0.5, 1e30, 10**400, 'NaN', [1], {'a': 1}, ['a', 'b', 'c']]


@pytest.fixture(scope='module')
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp('stores')
    logits, labels = skilled_logits(40, 4, (1.0, 2.0))
    make_store(folder / 'scores', logits, labels, config='{}')
    make_cell_store(folder / 'cells', 4, cells=3, classes=3, stages=2, config='{}')
    return folder


def content(store: ScoreStore | CellStore) -> list[Any]:
    """All that a calibration reads of a store."""
    header = json.dumps(store.header.to_json(), sort_keys=True)
    if isinstance(store, ScoreStore):
        arrays = [np.asarray(stage.values).tobytes() for stage in store.stages()]
        return [header, *arrays, store.macs.tobytes(), store.labels.tobytes()]
    return [header, *(values.tobytes() for values in vars(store.cells).values())]


def harm(folder: Path, number: int) -> None:
    """Change one file."""
    chance = random.Random(number)
    file = chance.choice(sorted(folder.iterdir()))
    data, kind = file.read_bytes(), chance.randrange(8)
    if kind == 0:
        file.write_bytes(data[: chance.randrange(len(data))])
    elif kind == 1:
        at = chance.randrange(len(data))
        file.write_bytes(data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :])
    elif kind == 2:
        at, size = chance.randrange(len(data)), chance.randrange(1, 300)
        file.write_bytes(data[:at] + chance.choice([bytes(size), chance.randbytes(size)]) + data[at + size :])
    elif kind == 3:
        file.unlink()
    elif kind == 4:
        file.write_bytes(chance.choice(sorted(folder.iterdir())).read_bytes())
    elif kind == 5:
        file.write_bytes(chance.choice([b'', b'[' * 100_000, b'{"schema": ' + b'9' * 5000 + b'}', b'\xff' * 50]))
    else:
        edit(folder / chance.choice(['store.json', 'progress.json']), chance)


def edit(file: Path, chance: random.Random) -> None:
    """Change one entry of a JSON file."""
    data = json.loads(file.read_text())
    inside: Any = data
    while True:
        key = chance.choice(list(inside) if isinstance(inside, dict) else range(len(inside)))
        if not isinstance(inside[key], (dict, list)) or not inside[key] or chance.random() < 0.3:
            break
        inside = inside[key]
    if chance.random() < 0.2:
        del inside[key]
    else:
        inside[key] = chance.choice(ODD)
    file.write_text(json.dumps(data))


@pytest.mark.parametrize('kind', ['scores', 'cells'])
@pytest.mark.parametrize('part', range(5))
def test_every_mutation_is_refused_or_changes_nothing(stores, kind, part, tmp_path):
    whole = content(open_store(stores / kind))
    for number in range(part, MUTATIONS, 5):
        folder = tmp_path / str(number)
        shutil.copytree(stores / kind, folder)
        harm(folder, number)
        try:
            found = content(open_store(folder))
        except StoreError as error:
            assert str(folder) in str(error) and 'pickle' not in str(error) and len(str(error)) < 1500, number
        except Exception as error:
            raise AssertionError(f'mutation {number} ends in {type(error).__name__}: {error}') from error
        else:
            assert found == whole, f'mutation {number} gives something else'
        shutil.rmtree(folder)


@pytest.mark.parametrize('kind', ['scores', 'cells'])
def test_headers_of_0_1_have_no_digest_and_are_checked_entry_by_entry(kind, tmp_path):
    written = Path(__file__).parents[1] / 'test_calibration' / 'test_stores' / 'stores_of_0_1' / kind
    for number in range(MUTATIONS):
        folder = tmp_path / str(number)
        shutil.copytree(written, folder)
        edit(folder / 'store.json', random.Random(number))
        try:
            store = open_store(folder)
            content(store)
        except StoreError:
            pass
        except Exception as error:
            raise AssertionError(f'mutation {number} ends in {type(error).__name__}: {error}') from error
        shutil.rmtree(folder)
