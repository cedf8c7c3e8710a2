# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import io
import json
import random
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from mmcascade.runtime import Bundle, BundleError
from mmcascade.serving.app import create_app
from mmcascade.serving.settings import ServeSettings
from tests.support.bundles import numbered_images, write_bundle
from tests.test_runtime.test_bundle import write_samples

RNG = np.random.default_rng(0)
SCORES = [RNG.normal(size=(40, 3)).astype(np.float32) * 2, RNG.normal(size=(40, 3)).astype(np.float32) * 3]
SETTINGS = ServeSettings(wait_ms=1, max_images=8, max_bytes=200_000, max_pixels=10_000)


def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, 'PNG')
    return file.getvalue()


IMAGES = [png(image) for image in numbered_images(40)]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    expected = {'units': 1000, 'reached': [0.4], 'accepted': 0.7}
    return write_bundle(tmp_path_factory.mktemp('bundle'), SCORES, expected=expected)


@pytest.fixture(scope='module')
def client(folder):
    with TestClient(create_app({'main': folder, 'other': folder}, SETTINGS), raise_server_exceptions=False) as client:
        yield client


def test_one_image_as_the_body(client, folder):
    expected = Bundle(folder).decide(IMAGES)
    for image, decision in zip(IMAGES, expected, strict=True):
        answer = client.post('/v1/decide', content=image)
        assert answer.status_code == 200 and answer.json()['bundle'] == 'main'
        (row,) = answer.json()['decisions']
        assert {k: row[k] for k in ('label', 'class_name', 'accepted', 'exit_stage', 'macs')} == {
            k: v for k, v in decision.to_json().items() if k != 'confidence'
        }
        assert row['confidence'] == pytest.approx(decision.confidence, abs=1e-6)
        assert row['member'] == f'member{decision.exit_stage}'


def test_several_images_and_the_best_classes(client, folder):
    files = [('images', (f'{i}.png', image)) for i, image in enumerate(IMAGES[:5])]
    files.insert(2, ('images', ('broken.png', b'nothing')))
    answer = client.post('/v1/decide?top=2&bundle=other', files=files)
    rows = answer.json()['decisions']
    assert answer.json()['bundle'] == 'other'
    assert [row['image'] for row in rows] == ['0.png', '1.png', 'broken.png', '2.png', '3.png', '4.png']
    assert 'cannot be read' in rows[2]['error'] and rows[2]['label'] is None
    decisions = Bundle(folder).decide(IMAGES[:5])
    good = [row for row in rows if row['error'] is None]
    for row, decision in zip(good, decisions, strict=True):
        assert row['label'] == decision.label == row['top'][0][0] and len(row['top']) == 2
        np.testing.assert_allclose([p for _, p in row['top']], np.sort(decision.probabilities)[::-1][:2], atol=1e-6)


@pytest.mark.parametrize(
    ('request_', 'status', 'words'),
    [
        (dict(content=b'nothing'), 400, 'cannot be read'),
        (dict(content=b''), 422, 'no image'),
        (dict(content=IMAGES[0], params={'bundle': 'third'}), 404, "there is 'main', 'other'"),
        (dict(content=IMAGES[0], params={'top': -1}), 422, 'greater than or equal to 0'),
        (dict(content=bytes(300_000)), 413, '200,000 bytes'),
        (dict(content=png(np.zeros((200, 200, 3), np.uint8))), 400, '200 x 200 pixels'),
        (dict(files=[('images', ('a.png', IMAGES[0]))] * 9), 413, '9'),
        (dict(files=[('pictures', ('a.png', IMAGES[0]))]), 422, "named 'images'"),
        (dict(content=b'--x\r\nbad', headers={'content-type': 'multipart/form-data; boundary=x'}), 422, 'no image'),
        (dict(content=b'?x\r\nbad', headers={'content-type': 'multipart/form-data; boundary=x'}), 400, 'Invalid'),
        (dict(content=b'x', headers={'content-type': 'multipart/form-data'}), 400, 'boundary'),
    ],
)
def test_wrong_requests_are_refused_in_words(client, request_, status, words):
    answer = client.post('/v1/decide', **request_)
    assert answer.status_code == status
    assert words in json.dumps(answer.json())


def test_an_image_of_which_no_view_can_be_made_harms_nobody(tmp_path):
    """It is refused before it runs together with those of others."""
    step = {'op': 'resize_edge', 'edge': 'short', 'size': 64, 'library': 'pillow', 'method': 'nearest'}
    view = {'channels': 'rgb', 'steps': [step, {'op': 'center_crop', 'height': 64, 'width': 64}]}
    folder, thin = write_bundle(tmp_path, SCORES, views=[view]), png(np.zeros((1, 3000, 3), np.uint8))
    with TestClient(create_app({'main': folder}, ServeSettings(wait_ms=50))) as client, ThreadPoolExecutor(8) as pool:
        sent = [thin if number % 4 == 1 else IMAGES[number] for number in range(8)]
        answers = list(pool.map(lambda image: client.post('/v1/decide', content=image), sent))
        assert [answer.status_code for answer in answers] == [200, 400, 200, 200] * 2
        assert 'would become 64 x 192000 pixels' in answers[1].json()['detail']
        files = [('images', ('thin.png', thin)), ('images', ('good.png', IMAGES[3]))]
        bad, good = client.post('/v1/decide', files=files).json()['decisions']
    assert 'would become' in bad['error'] and good['label'] == answers[3].json()['decisions'][0]['label']


def test_what_is_decoded_has_room_before(folder):
    """A file of a few hundred bytes can be a picture of many pixels, and a request holds many files."""
    image = png(np.zeros((90, 100, 3), np.uint8))
    settings = ServeSettings(wait_ms=1, max_images=8, max_pixels=10_000, max_waiting_bytes=100_000)
    with TestClient(create_app({'main': folder}, settings)) as client:
        files = [('images', (f'{number}.png', image)) for number in range(4)]
        answer = client.post('/v1/decide', files=files)
        assert answer.status_code == 413 and 'send fewer or smaller images' in answer.json()['detail']
        assert client.post('/v1/decide', content=bytes(100_001)).status_code == 413
        for _ in range(5):  # what was taken is given back, also by those that were refused
            assert client.post('/v1/decide', files=files[:3]).status_code == 200


def test_operations(client):
    assert client.get('/healthz').json() == {'status': 'ok'}
    assert client.get('/readyz').status_code == 200
    info = client.get('/v1/bundles').json()
    assert [x['name'] for x in info] == ['main', 'other']
    assert info[0]['stages'][1] == {'member': 'member1', 'macs': 10.0} and info[0]['windows'] == [[0.3, 0.8]]


def test_prometheus_counts(folder):
    with TestClient(create_app({'main': folder}, SETTINGS)) as client:
        client.post('/v1/decide', files=[('images', ('a', image)) for image in IMAGES[:6]] + [('images', ('b', b'x'))])
        client.post('/v1/decide', content=b'nothing')
        text = client.get('/metrics').text
    values = dict(re.findall(r'^(mmcascade_\S+) (\S+)$', text, re.MULTILINE))
    decisions = Bundle(folder).decide(IMAGES[:6])
    images = {k: float(v) for k, v in values.items() if k.startswith('mmcascade_images_total')}
    assert sum(images.values()) == 6
    accepted = sum(v for k, v in images.items() if 'decision="accepted"' in k)
    assert accepted == sum(d.accepted for d in decisions)
    assert float(values['mmcascade_macs_total{bundle="main"}']) == sum(d.macs for d in decisions)
    assert float(values['mmcascade_broken_images_total{bundle="main"}']) == 2
    assert values['mmcascade_requests_total{bundle="main",status="200"}'] == '1.0'
    assert values['mmcascade_requests_total{bundle="main",status="400"}'] == '1.0'
    share = float(values['mmcascade_share{bundle="main",of="stage1",source="latest"}'])
    assert share == pytest.approx(np.mean([d.exit_stage > 0 for d in decisions]))
    assert values['mmcascade_share{bundle="main",of="stage1",source="calibration"}'] == '0.4'


def test_pages_load_nothing_from_elsewhere(client):
    for path in ('/', '/page.js', '/labels.js', '/page.css', '/docs', '/redoc'):
        answer = client.get(path)
        assert answer.status_code == 200
        text = answer.text.replace('http://www.w3.org/2000/svg', '')
        assert not re.search(r'(src|href)=["\']?(https?:)?//', text), path
    assert "default-src 'none'" in client.get('/').headers['content-security-policy']
    assert '/v1/decide' in client.get('/openapi.json').json()['paths']


def test_many_broken_requests_never_break_the_server(client):
    rng = random.Random(3)
    for _ in range(200):
        body = bytearray(rng.choice(IMAGES))
        for _ in range(rng.randrange(1, 20)):
            body[rng.randrange(len(body))] = rng.randrange(256)
        headers = {}
        if rng.random() < 0.3:
            headers = {
                'content-type': rng.choice(['multipart/form-data; boundary=' + 'y' * rng.randrange(99), 'a/b', ';'])
            }
        answer = client.post('/v1/decide', content=bytes(body[: rng.randrange(len(body))]), headers=headers)
        assert answer.status_code < 500, answer.text
    assert client.post('/v1/decide', content=IMAGES[0]).status_code == 200


def test_limits_that_a_bundles_own_samples_exceed_are_named_at_the_start(tmp_path):
    folder = write_bundle(tmp_path / 'b', SCORES)
    write_samples(folder)
    with pytest.raises(BundleError, match='bundle .main.: image 0: .* has 4 x 5 pixels, and .* at most 19'):
        create_app({'main': folder}, ServeSettings(max_pixels=19))
