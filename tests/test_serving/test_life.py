# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The life of a server: bundles are loaded anew while it answers, and it ends after its last answer."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from starlette.testclient import TestClient

from mmcascade.runtime import Bundle, BundleError
from mmcascade.serving.app import create_app
from mmcascade.serving.settings import ServeSettings
from tests.support import ROOT
from tests.support.bundles import write_bundle
from tests.support.ports import free_port
from tests.test_serving.test_app import IMAGES, SCORES, SETTINGS


@pytest.fixture
def folder(tmp_path):
    return write_bundle(tmp_path / 'bundle', SCORES)


def test_reload_takes_the_new_bundle_or_keeps_the_old(tmp_path):
    folder = write_bundle(tmp_path / 'b', SCORES)
    app = create_app({'main': folder}, SETTINGS)
    with TestClient(app) as client:
        before = client.post('/v1/decide', content=IMAGES[3]).json()['decisions'][0]
        write_bundle(folder, SCORES, accept=None)
        client.portal.call(app.state.bundles.reload)
        after = client.post('/v1/decide', content=IMAGES[3]).json()['decisions'][0]
        assert before['accepted'] is not None and after['accepted'] is None and before['label'] == after['label']
        (folder / 'cascade.json').write_text('{')
        with pytest.raises(BundleError, match="bundle 'main': .* is no JSON"):
            client.portal.call(app.state.bundles.reload)
        assert client.post('/v1/decide', content=IMAGES[3]).json()['decisions'][0] == after


def test_a_request_that_has_begun_is_answered_by_the_bundle_that_it_began_with(tmp_path):
    """Its body arrives slowly, and meanwhile another bundle takes the name."""
    folder = write_bundle(tmp_path / 'b', SCORES)
    app = create_app({'main': folder}, SETTINGS)

    async def main():
        arrived, go_on = asyncio.Event(), asyncio.Event()

        async def body():
            yield IMAGES[3][:20]
            arrived.set()
            await go_on.wait()
            yield IMAGES[3][20:]

        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url='http://x') as client,
        ):
            slow = asyncio.create_task(client.post('/v1/decide', content=body()))
            await arrived.wait()
            write_bundle(folder, SCORES, accept=None)
            await app.state.bundles.reload()
            fresh = await client.post('/v1/decide', content=IMAGES[3])
            go_on.set()
            return [answer.json()['decisions'][0]['accepted'] for answer in (await slow, fresh)]

    assert asyncio.run(main()) == [Bundle(folder).decide([IMAGES[3]])[0].confidence >= 0.5, None]


def test_drift_is_of_the_bundles_that_serve(tmp_path):
    folder = write_bundle(tmp_path / 'b', SCORES, expected={'units': 1000, 'reached': [0.4], 'accepted': 0.7})
    app = create_app({'main': folder}, SETTINGS)
    with TestClient(app) as client:
        client.post('/v1/decide', content=IMAGES[3])
        assert 'mmcascade_share{' in client.get('/metrics').text
        write_bundle(folder, SCORES)
        client.portal.call(app.state.bundles.reload)
        assert 'mmcascade_share{' not in client.get('/metrics').text


@pytest.fixture
def server(folder):
    port = free_port()
    code = (
        'import sys; from pathlib import Path\n'
        'from mmcascade.serving.server import serve; from mmcascade.serving.settings import ServeSettings\n'
        f'serve({{"main": Path({str(folder)!r})}}, port={port}, settings=ServeSettings(receive_s=1.0))'
    )
    process = subprocess.Popen(
        [sys.executable, '-c', code], stderr=subprocess.PIPE, text=True, env=os.environ | {'PYTHONPATH': str(ROOT)}
    )
    url = f'http://127.0.0.1:{port}'
    for _ in range(300):
        try:
            if httpx.get(url + '/readyz').status_code == 200:
                break
        except httpx.TransportError:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.1)
    yield process, url, port
    process.kill()
    process.wait()
    process.stderr.close()


def test_real_server_under_mixed_load_loses_nothing_and_ends_gracefully(server, folder):
    process, url, port = server
    expected = [d.label for d in Bundle(folder).decide(IMAGES)]

    def slow_or_cut(_):
        with socket.create_connection(('127.0.0.1', port)) as connection:
            connection.sendall(b'POST /v1/decide HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\nhalf')

    def good(index):
        return httpx.post(url + '/v1/decide', content=IMAGES[index % 40], timeout=30).json()['decisions'][0]['label']

    with ThreadPoolExecutor(16) as pool:
        cut = pool.map(slow_or_cut, range(20))
        bad = pool.map(lambda _: httpx.post(url + '/v1/decide', content=b'?', timeout=30).status_code, range(40))
        labels = list(pool.map(good, range(200)))
        assert set(bad) == {400} and list(cut) == [None] * 20
    assert labels == [expected[index % 40] for index in range(200)]

    started = time.monotonic()
    with socket.create_connection(('127.0.0.1', port), timeout=20) as connection:
        connection.sendall(b'POST /v1/decide HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\nhalf')
        assert b' 408 ' in connection.recv(4096).split(b'\r\n')[0]
    assert time.monotonic() - started < 15

    process.send_signal(signal.SIGHUP)
    assert 'loaded anew: main' in process.stderr.readline()
    assert good(1) == expected[1]
    answers = []
    threads = [threading.Thread(target=lambda i=i: answers.append((i, good(i)))) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    process.send_signal(signal.SIGTERM)
    process.wait(20)
    assert sorted(answers) == [(i, expected[i]) for i in range(8)]
    assert process.stderr.read() == ''


def test_answers_during_shutdown_are_given(folder):
    """What waits when the application ends is decided on."""
    app = create_app({'main': folder}, ServeSettings(wait_ms=300))

    async def main():
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url='http://x') as client,
        ):
            waiting = asyncio.create_task(client.post('/v1/decide', content=IMAGES[0]))
            await asyncio.sleep(0.05)
        return (await waiting).status_code

    assert asyncio.run(main()) == 200
