# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Ray Data and Ray Serve decide as the cascade in torch does, on images of the tiny project."""

from __future__ import annotations

import httpx
import pytest

from mmcascade.engine.predict.ray_engine import RayOptions, predict_on_ray
from mmcascade.engine.predict.request import PredictRequest
from mmcascade.runtime import Engine
from mmcascade.serving.ray.deployment import RaySettings, start
from mmcascade.serving.settings import ServeSettings
from tests.support.engines import make_case, of_rows
from tests.test_ray.conftest import free_port
from tests.test_ray.test_predict import rows_of

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings('ignore')]


@pytest.fixture(scope='module')
def case(project, exported_bundle, tmp_path_factory):
    return make_case(project, exported_bundle, tmp_path_factory.mktemp('every_engine') / 'images')


@pytest.mark.parametrize('of', ['config', 'bundle'])
def test_ray_data(cluster, case, tmp_path, of):
    images = str(case.files[0].parent)
    predict_on_ray(str(getattr(case, of)), PredictRequest((images,), tmp_path / 'out'), RayOptions(actors=1, chunk=64))
    assert case.check(f'Ray Data with a {of}', of_rows(rows_of(tmp_path / 'out'))) <= len(case.on_a_bound)


def test_ray_serve(cluster, case):
    from ray import serve

    spread, port = RaySettings(cpus=0.5, name='every_engine'), free_port()
    start({'main': case.bundle}, '127.0.0.1', port, ServeSettings(max_images=32), Engine(threads=1), spread)
    try:
        rows = []
        for at in range(0, len(case.files), 16):
            sent = [('images', (file.name, file.read_bytes())) for file in case.files[at : at + 16]]
            answer = httpx.post(f'http://127.0.0.1:{port}/v1/decide', files=sent, timeout=120)
            rows += answer.json()['decisions']
    finally:
        serve.delete(spread.name)
        serve.shutdown()
    assert case.check('Ray Serve', of_rows(rows)) <= len(case.on_a_bound)
