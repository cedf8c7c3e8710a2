# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A prediction of a cascade of segmentors: label maps, and a row per image with its cells."""

from __future__ import annotations

import copy
import csv
import json
import shutil

import mmcv
import numpy as np
import pytest
from PIL import Image

from mmcascade import CascadeSegInferencer
from mmcascade.engine.predict.deciders.open_decider import open_decider
from mmcascade.engine.predict.inputs import Item
from mmcascade.engine.predict.predict import predict
from mmcascade.engine.predict.request import PredictRequest
from mmcascade.engine.predict.rows.maps import put_map
from tests.support.projects.tiny_seg_project import CLASSES, write_project

pytest.importorskip('mmseg')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('maps')


@pytest.fixture(scope='module')
def config(folder):
    cfg = write_project(folder, policy=dict(type='mmcascade.ThresholdPolicy', thresholds=[0.72]))
    cfg.dump(folder / 'cascade.py')
    return cfg


@pytest.fixture(scope='module')
def decider(folder, config):
    return open_decider(folder / 'cascade.py')


@pytest.fixture(scope='module')
def images(folder, config):
    """Those of the project, one of another size, and one that is broken."""
    made = folder / 'in'
    shutil.copytree(folder / 'img' / 'test', made)
    mmcv.imwrite(np.full((50, 90, 3), 90, np.uint8), str(made / 'wide.png'))
    (made / 'broken.png').write_bytes((made / '0.png').read_bytes()[:40])
    return made


def rows_of(path):
    with path.open(newline='') as file:
        return {row['path'].rpartition('/')[2]: row for row in csv.DictReader(file)}


def test_as_the_inferencer(folder, config, decider, images):
    request = PredictRequest((str(images),), folder / 'out.csv', maps_to=folder / 'maps')
    tally = predict(request, decider)
    rows = rows_of(request.out)
    assert (tally.images, tally.errors, len(rows)) == (6, 1, 6)
    good = [name for name in sorted(rows) if not rows[name]['error']]
    expected = CascadeSegInferencer(config, device='cpu')([str(images / name) for name in good], out_dir=folder / 'ref')
    exits = np.zeros(2)
    for name, result in zip(good, expected, strict=True):
        row = rows[name]
        assert [int(row['height']), int(row['width'])] == result['size']
        assert json.loads(row['cells']) == result['cells'] and json.loads(row['class_shares']) == result['classes']
        assert float(row['macs']) == result['macs'] and float(row['reached_stage1']) == result['reached'][1]
        assert np.array_equal(np.asarray(Image.open(row['label_map'])), np.asarray(Image.open(result['label_map'])))
        exits += [1 - result['reached'][1], result['reached'][1]]
    assert 0 < exits[1] < len(good) and tally.shares(2) == pytest.approx(exits / len(good))
    assert set(result['classes']) <= set(CLASSES)
    assert rows['broken.png']['error'].endswith('is no image, or cut off') and not rows['broken.png']['cells']


@pytest.mark.parametrize('size', [1, 4])
def test_batches_of_several_sizes(folder, decider, images, size):
    request = PredictRequest((str(images),), folder / f'batch{size}.jsonl', batch_size=size)
    predict(request, decider)
    rows = [json.loads(line) for line in request.out.read_text().splitlines()]
    assert [row['path'].rpartition('/')[2] for row in rows] == [f'{n}.png' for n in '0123'] + ['broken.png', 'wide.png']
    assert rows[0]['label_map'] is None and len(rows[0]['cells']) == 12 and rows[-1]['height'] == 50


def test_a_parquet_table_has_text_for_what_is_nested(folder, decider, images):
    parquet = pytest.importorskip('pyarrow.parquet')
    predict(PredictRequest((str(images),), folder / 'out.parquet'), decider)
    rows = parquet.read_table(folder / 'out.parquet').to_pylist()
    assert len(json.loads(rows[0]['cells'])) == 12
    assert [row['cells'] for row in rows if row['error']] == [None]


def test_keys_that_differ_in_signs_only_have_files_of_their_own(tmp_path):
    one, other = (Item(key, b'') for key in ('a/b.png', 'a b.jpg'))
    labels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    paths = [put_map(item, labels + k, tmp_path) for k, item in enumerate((one, other, one))]
    assert paths[0] == paths[2] == tmp_path / 'a_b.png' != paths[1]
    assert [np.asarray(Image.open(path))[0, 0] for path in paths] == [2, 1, 2]


@pytest.mark.parametrize('more', [dict(top=2), dict(stage_scores=True)])
def test_what_only_classifiers_have_is_refused(folder, decider, images, more):
    with pytest.raises(ValueError, match='is for cascades of classifiers'):
        predict(PredictRequest((str(images),), folder / 'no.csv', **more), decider)


def test_images_are_accepted_or_linked_for_somebody_to_look_at(folder, config, images):
    scores = {}
    predict(PredictRequest((str(images),), folder / 'scores.jsonl'), open_decider(folder / 'cascade.py'))
    for line in (folder / 'scores.jsonl').read_text().splitlines():
        row = json.loads(line)
        assert row['accepted'] is None and all('accepted' not in cell for cell in row['cells'] or ())
        if row['error'] is None:  # where no pixel counts there is no confidence, and nothing is accepted
            scores[row['path'].rpartition('/')[2]] = -np.inf if row['confidence'] is None else row['confidence']
    assert len(scores) == 5
    middle = float(np.median(list(scores.values())))
    accepting = copy.deepcopy(config)
    accepting.model.update(accept=middle, accept_cells=0.72)
    accepting.dump(folder / 'accepting.py')
    decider = open_decider(folder / 'accepting.py')
    request = PredictRequest((str(images),), folder / 'accepted.csv', rejected_to=folder / 'review')
    tally = predict(request, decider)
    rows = rows_of(request.out)
    taken = {name for name, row in rows.items() if row['accepted'] == 'true'}
    assert taken == {name for name, score in scores.items() if score >= middle} and 0 < len(taken) < len(scores)
    assert tally.accepted == len(taken) and decider.accepts
    linked = {path.resolve().name for path in (folder / 'review').iterdir()}
    assert linked == set(scores) - taken  # what is broken is not rejected
    for name in scores:
        assert all(cell['accepted'] is ((cell['confidence'] or 0) >= 0.72) for cell in json.loads(rows[name]['cells']))


def test_nothing_is_rejected_without_a_threshold(folder, decider, images):
    with pytest.raises(ValueError, match='has no accept threshold, so it rejects nothing'):
        predict(PredictRequest((str(images),), folder / 'no.csv', rejected_to=folder / 'r'), decider)
