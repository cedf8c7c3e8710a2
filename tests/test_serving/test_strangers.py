# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A server in a process of its own, and requests that nobody would send on purpose: it never answers with 500."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import time

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from mmcascade.runtime import Bundle
from tests.support import ROOT
from tests.support.bundles import numbered_images, write_bundle
from tests.support.ports import free_port
from tests.test_serving.test_app import png

# schemathesis brings deprecations of its own.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings('ignore')]

RNG = np.random.default_rng(0)
SCORES = [RNG.normal(size=(40, 3)).astype(np.float32) * 2 for _ in range(2)]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp('bundle'), SCORES)


@pytest.fixture(scope='module')
def address(folder):
    port = free_port()
    command = [sys.executable, str(ROOT / 'tools' / 'serve.py'), str(folder), '--port', str(port)]
    server = subprocess.Popen([*command, '--max-bytes', '200000', '--max-pixels', '10000'])
    url = f'http://127.0.0.1:{port}'
    for _ in range(600):
        try:
            httpx.get(f'{url}/readyz').raise_for_status()
            break
        except httpx.TransportError:
            time.sleep(0.1)
    yield url
    server.terminate()
    assert server.wait(60) in (0, -15)


def operations():
    return ['POST /v1/decide', 'POST /v1/segment', 'GET /v1/bundles', 'GET /healthz', 'GET /readyz', 'GET /metrics']


@pytest.mark.parametrize('name', operations())
def test_no_request_that_openapi_can_describe_is_answered_with_500(address, name):
    schemathesis = pytest.importorskip('schemathesis')
    schema = schemathesis.openapi.from_url(f'{address}/openapi.json')
    found = {f'{op.method.upper()} {op.path}': op for op in (result.ok() for result in schema.get_all_operations())}
    assert set(found) == set(operations())
    statuses = set()

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=found[name].as_strategy())
    def ask(case):
        response = case.call()
        statuses.add(response.status_code)
        assert response.status_code < 500, response.text
        case.validate_response(response, checks=[
            schemathesis.checks.not_a_server_error,
            schemathesis.specs.openapi.checks.status_code_conformance,
            schemathesis.specs.openapi.checks.response_schema_conformance,
        ])  # fmt: skip

    ask()
    assert statuses


def malformed(rng: random.Random, image: bytes) -> bytes:
    """One request as bytes, wrong in one way or several."""
    lines = rng.choice([b'POST /v1/decide HTTP/1.1', b'POST /v1/decide?top=-1 HTTP/1.1',
        b'POST /v1/decide?top=x HTTP/1.1',
        b'POST /v1/decide?bundle=%00 HTTP/1.1', b'POST /v1/decide?bundle=../x HTTP/1.1', b'PUT /v1/decide HTTP/1.1',
        b'POST /v1/decide HTTP/9.9', b'BREW /v1/decide HTTP/1.1', b'POST /../../etc/passwd HTTP/1.1', b'\x16\x03\x01',
        b'GET /v1/decide HTTP/1.1'])  # fmt: skip
    body = rng.choice(
        [b'', image, image[: rng.randrange(1, len(image))], rng.randbytes(300), b'{"image": 1}', b'x' * 300_000]
    )
    if rng.random() < 0.3 and body:
        spoilt = bytearray(body)
        for _ in range(rng.randrange(1, 20)):
            spoilt[rng.randrange(len(spoilt))] = rng.randrange(256)
        body = bytes(spoilt)
    headers = [b'Host: x', b'Connection: close']
    headers.append(rng.choice([b'Content-Length: %d' % len(body), b'Content-Length: -5', b'Content-Length: 9' * 30,
        b'Content-Length: x', b'Transfer-Encoding: chunked', b'Content-Length: %d' % (len(body) + 50),
        b'Content-Length: %d' % (1 << 62), b'']))  # fmt: skip
    headers.append(rng.choice([b'Content-Type: multipart/form-data', b'Content-Type: multipart/form-data; boundary=a',
        b'Content-Type: multipart/form-data; boundary=' + b'b' * 500,
        b'Content-Type: ' + rng.randbytes(20).hex().encode(),
        b'Content-Type: image/png', b'X-Long: ' + b'y' * 40_000, b'\xff\xfe: z']))  # fmt: skip
    return lines + b'\r\n' + b'\r\n'.join(header for header in headers if header) + b'\r\n\r\n' + body


def test_200_malformed_requests_are_refused_and_the_next_one_is_answered(address, folder):
    rng = random.Random(0)
    image = png(numbered_images(40)[7])
    where = ('127.0.0.1', int(address.rpartition(':')[2]))
    statuses = []
    for _ in range(200):
        with socket.create_connection(where, timeout=20) as client:
            try:
                client.sendall(malformed(rng, image))
                client.shutdown(socket.SHUT_WR)
                answer = client.makefile('rb').readline()
            except OSError:  # closed before the end of what is too much
                answer = b''
        statuses.append(int(answer.split()[1]) if answer else 0)
        assert statuses[-1] < 500, statuses
    assert len(set(statuses) - {0, 200}) >= 4
    (expected,) = Bundle(folder).decide([image])
    (row,) = httpx.post(f'{address}/v1/decide', content=image).json()['decisions']
    assert row['label'] == expected.label and row['confidence'] == expected.confidence


def test_a_minute_of_mixed_load_loses_nothing(folder, tmp_path):
    """The benchmark runs for half an hour by hand; its memory may not grow with the requests."""
    (tmp_path / 'images').mkdir()
    for number, pixels in enumerate(numbered_images(40)):
        (tmp_path / 'images' / f'{number:02d}.png').write_bytes(png(pixels))
    command = [
        sys.executable,
        str(ROOT / 'benchmarks' / 'serving' / 'serve_load.py'),
        str(folder),
        str(tmp_path / 'images'),
    ]
    options = ['--minutes', '1', '--clients', '8', '--rounds', '1', '--json', str(tmp_path / 'load.json')]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {row['what']: row for row in json.loads((tmp_path / 'load.json').read_text())['rows']}
    assert rows['good']['right'] > 100 and all(
        rows[kind]['lost'] == 0 for kind in ('good', 'broken', 'huge', 'slow', 'cut')
    )
    assert rows['broken']['right'] == rows['huge']['right'] == 0
    assert rows['MB, late']['value'] < 1.3 * rows['MB, early']['value'] + 50


def test_the_price_of_a_server_is_measured(folder, tmp_path):
    """That of Ray is measured by hand; figures of so few requests mean nothing."""
    (tmp_path / 'images').mkdir()
    for number, pixels in enumerate(numbered_images(40)):
        (tmp_path / 'images' / f'{number:02d}.png').write_bytes(png(pixels))
    script, out = ROOT / 'benchmarks' / 'serving' / 'serve_engines.py', tmp_path / 'price.json'
    options = ['--systems', 'server', '--rounds', '2', '--seconds', '0.6', '--batch', '4', '--json', str(out)]
    command = [sys.executable, str(script), str(folder), str(tmp_path / 'images'), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    content = json.loads(out.read_text())
    here, server = content['rows']
    assert (here['system'], here['share'], server['system']) == ('in process', 1.0, 'server') and 'ray' in content[
        'machine'
    ]
    for row in (here, server):
        assert row['lowest'] <= row['images_per_s'] <= row['highest'] and row['refused'] == 0
        assert 0 < row['ms_median'] <= row['ms_99'] and row['cpu_ms'] > 0
    assert server['images_per_s'] < here['images_per_s'] and server['share'] < 1
    assert server['cpu_ms'] > here['cpu_ms'] and 'ms_alone' in done.stdout
