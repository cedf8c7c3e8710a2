# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import contextlib
import threading

import pytest
import uvicorn

from mmcascade.serving.app import create_app


@pytest.fixture(scope='module')
def serve():
    """Starts a server over bundles, folders by name, and gives its address; it runs until the module is done."""
    with contextlib.ExitStack() as running:

        def start(bundles) -> str:
            server = uvicorn.Server(uvicorn.Config(create_app(bundles), port=0, log_level='warning'))
            thread = threading.Thread(target=server.run)
            thread.start()
            running.callback(thread.join)
            running.callback(setattr, server, 'should_exit', True)
            while not server.started:
                thread.join(0.05)
            return f'http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/'

        yield start
