# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Ray Data and Ray Serve decide and label as the cascades in torch do, on images of the tiny projects."""

from __future__ import annotations

import json

import httpx
import pytest

from mmcascade.engine.predict.ray_engine import RayOptions, predict_on_ray
from mmcascade.engine.predict.request import PredictRequest
from mmcascade.runtime import Engine
from mmcascade.serving.ray.deployment import RaySettings, start
from mmcascade.serving.settings import ServeSettings
from tests.support import engines, seg_engines
from tests.support.ports import free_port
from tests.test_ray.test_predict import rows_of

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings('ignore')]


@pytest.fixture(scope='module')
def case(project, exported_bundle, tmp_path_factory):
    return engines.make_case(project, exported_bundle, tmp_path_factory.mktemp('every_engine') / 'images')


@pytest.fixture(scope='module')
def seg_case(tmp_path_factory):
    return seg_engines.make_seg_case(tmp_path_factory.mktemp('every_engine_of_segmentors'))


@pytest.mark.parametrize('of', ['config', 'bundle'])
def test_ray_data(cluster, case, tmp_path, of):
    images = str(case.files[0].parent)
    predict_on_ray(str(getattr(case, of)), PredictRequest((images,), tmp_path / 'out'), RayOptions(actors=1, chunk=64))
    found = engines.of_rows(rows_of(tmp_path / 'out'))
    assert case.check(f'Ray Data with a {of}', found) <= len(case.on_a_bound)


@pytest.mark.parametrize('of', ['config', 'bundle'])
def test_ray_data_labels(cluster, seg_case, tmp_path, of):
    request = PredictRequest((str(seg_case.files[0].parent),), tmp_path / 'out', maps_to=tmp_path / 'maps')
    predict_on_ray(str(getattr(seg_case, of)), request, RayOptions(actors=2, chunk=7))
    # A Parquet table has cells as text.
    rows = [row | {'cells': json.loads(row['cells'])} for row in rows_of(tmp_path / 'out')]
    seg_case.check(f'Ray Data with a {of}', seg_engines.of_rows(rows))


@pytest.fixture(scope='module')
def address(cluster, case, seg_case):
    """Both cascades behind one address."""
    from ray import serve

    spread, port = RaySettings(cpus=0.5, name='every_engine'), free_port()
    bundles = {'main': case.bundle, 'roads': seg_case.bundle}
    start(bundles, '127.0.0.1', port, ServeSettings(max_images=32), Engine(threads=1), spread)
    yield f'http://127.0.0.1:{port}'
    serve.delete(spread.name)
    serve.shutdown()


def test_ray_serve(address, case):
    rows = []
    for at in range(0, len(case.files), 16):
        sent = [('images', (file.name, file.read_bytes())) for file in case.files[at : at + 16]]
        rows += httpx.post(f'{address}/v1/decide', files=sent, timeout=120).json()['decisions']
    assert case.check('Ray Serve', engines.of_rows(rows)) <= len(case.on_a_bound)


def test_ray_serve_labels(address, seg_case):
    ask = f'{address}/v1/segment?bundle=roads'
    answers = [httpx.post(ask, content=file.read_bytes(), timeout=120).json() for file in seg_case.files]
    seg_case.check('Ray Serve', seg_engines.of_answers(answers))
