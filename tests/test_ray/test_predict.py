# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Ray Data decides as one process does, and writes every row once, whatever is killed."""

from __future__ import annotations

import json
import os
import signal
import threading
import time

import pyarrow
import pyarrow.parquet
import pytest

from mmcascade.engine.predict import ray_engine
from mmcascade.engine.predict.deciders.open_decider import open_decider
from mmcascade.engine.predict.predict import predict
from mmcascade.engine.predict.ray_engine import RayOptions, finished_parts, predict_on_ray
from mmcascade.engine.predict.request import PredictRequest
from tests.support import ROOT
from tests.test_ray.conftest import COUNT, pids_of

# Ray warns of its own ways.
pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings('ignore')]


def rows_of(folder):
    return sorted(pyarrow.parquet.read_table(folder).to_pylist(), key=lambda row: row['path'])


def test_rows_are_those_of_one_process(cluster, bundle_folder, images, tmp_path):
    (tmp_path / 'broken.png').write_bytes(b'no image')
    inputs = (str(images), str(tmp_path / 'broken.png'))
    tally = predict_on_ray(str(bundle_folder), PredictRequest(inputs, tmp_path / 'out', top=2), RayOptions(chunk=32))
    predict(PredictRequest(inputs, tmp_path / 'one.parquet', top=2), decider := open_decider(bundle_folder))
    assert rows_of(tmp_path / 'out') == rows_of(tmp_path / 'one.parquet')
    assert (tally.total, tally.images, tally.errors) == (COUNT + 1, COUNT + 1, 1)
    assert sum(tally.exits.values()) == COUNT and decider.accepts and 0 < tally.accepted < COUNT


def test_images_in_parquet_files_are_those_of_one_process(cluster, bundle_folder, images, tmp_path):
    encoded = [path.read_bytes() for path in sorted(images.iterdir())]
    (tmp_path / 'shards').mkdir()
    for number in range(2):
        table = pyarrow.table({'image': [*encoded[number::2], b'no image']})
        pyarrow.parquet.write_table(table, tmp_path / 'shards' / f'{number}.parquet', row_group_size=9)
    inputs = (str(tmp_path / 'shards'),)
    predict_on_ray(str(bundle_folder), PredictRequest(inputs, tmp_path / 'out'), RayOptions(chunk=32))
    predict(PredictRequest(inputs, tmp_path / 'one.parquet'), open_decider(bundle_folder))
    assert rows_of(tmp_path / 'out') == rows_of(tmp_path / 'one.parquet')
    assert sum(row['error'] is None for row in rows_of(tmp_path / 'out')) == COUNT


def test_a_run_goes_on_where_it_stopped(cluster, bundle_folder, images, tmp_path):
    request = PredictRequest((str(images),), tmp_path / 'out')
    predict_on_ray(str(bundle_folder), request, RayOptions(chunk=32))
    parts = finished_parts(tmp_path / 'out')
    before, kept = rows_of(tmp_path / 'out'), {path: path.stat().st_mtime_ns for path in parts[2:]}
    for path in parts[:2]:
        path.unlink()
    tally = predict_on_ray(str(bundle_folder), request, RayOptions(chunk=24))
    assert rows_of(tmp_path / 'out') == before and tally.images == COUNT
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    with pytest.raises(ValueError, match='another cascade or other options'):
        predict_on_ray(str(bundle_folder), PredictRequest((str(images),), tmp_path / 'out', top=1), RayOptions())
    with pytest.raises(ValueError, match='no table that --engine ray began'):
        predict_on_ray(str(bundle_folder), PredictRequest((str(images),), images), RayOptions())


class SlowActor(ray_engine.CascadeActor):
    """One that can be killed before it is done."""

    def __call__(self, row):
        time.sleep(0.2)
        return super().__call__(row)


def test_every_row_is_there_once_though_an_actor_was_killed(cluster, bundle_folder, images, tmp_path, monkeypatch):
    monkeypatch.setattr(ray_engine, 'CascadeActor', SlowActor)
    out, tallies = tmp_path / 'out', []
    request = PredictRequest((str(images),), out)
    run = threading.Thread(
        target=lambda: tallies.append(predict_on_ray(str(bundle_folder), request, RayOptions(actors=1, chunk=8)))
    )
    run.start()
    while len(finished_parts(out)) < 2:
        time.sleep(0.05)
        assert run.is_alive()
    (victim,) = pids_of('MapWorker')
    os.kill(victim, signal.SIGKILL)
    assert len(finished_parts(out)) < COUNT / 8
    run.join(180)
    rows = rows_of(out)
    assert [row['path'] for row in rows] == sorted(str(path) for path in images.iterdir())
    assert tallies[0].images == COUNT and all(row['error'] is None for row in rows)


def test_the_command(bundle_folder, images, tmp_path, run_tool):
    out = tmp_path / 'out'
    command = (ROOT / 'tools' / 'predict.py', bundle_folder, images, '--out', out, '--engine', 'ray', '--actors', 1)
    done = run_tool(*command, RAY_USAGE_STATS_ENABLED='0')
    assert f'{COUNT} image(s)' in done.stdout and len(rows_of(out)) == COUNT
    assert json.loads((out / '_about.json').read_text())['schema'] == 1
    wrong = run_tool(*command[:-3], 'local', '--actors', 1, ok=False)
    assert 'go with --engine ray' in wrong.stderr
