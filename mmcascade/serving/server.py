# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The server process: one machine, one process, until a signal."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import uvicorn

from mmcascade.runtime import BundleError, Engine
from mmcascade.serving.app import create_app
from mmcascade.serving.bundles import Bundles
from mmcascade.serving.settings import ServeSettings

LOGGER = logging.getLogger('mmcascade.serve')


def serve(
    folders: Mapping[str, Path],
    host: str = '127.0.0.1',
    port: int = 8000,
    settings: ServeSettings | None = None,
    engine: Engine | None = None,
    up: Callable[[], None] = lambda: None,
) -> None:
    """Serve bundles until SIGTERM or SIGINT, which end it after the last answer; SIGHUP loads the bundles anew.

    Args:
        folders: bundles by name.
        host: address to listen on; by default this machine alone can reach it.
        port: to listen on.
        settings: bounds and batching.
        engine: what runs the graphs.
        up: called when requests are answered.

    Raises:
        BundleError: if a bundle is wrong.
        OSError: if it cannot listen there.
    """
    with listen(host, port) as listening:
        app = create_app(folders, settings, engine)
        config = uvicorn.Config(
            app,
            log_level='warning',
            # The parser whose bounds are set below, whatever else is installed.
            http='h11',
            loop='asyncio',
            limit_concurrency=1000,
            timeout_keep_alive=10,
            timeout_graceful_shutdown=30,
            h11_max_incomplete_event_size=32 << 10,
        )
        asyncio.run(_run(_Server(config, up), listening, app.state.bundles))


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound to an address.

    Raises:
        OSError: if it is taken, is not of this machine, or there can be none such.
    """
    if not 0 <= port < 1 << 16:
        raise OSError(f'a port is a number from 1 to 65535, got {port}')
    with ExitStack() as undo:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            # asyncio switches Nagle's algorithm off where the protocol is named only, and with it the body of an answer
            # waits for the client to acknowledge the head: 40 ms.
            bound = undo.enter_context(socket.socket(found[0][0], socket.SOCK_STREAM, socket.IPPROTO_TCP))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(found[0][4])
        except OSError as error:
            raise OSError(
                f'cannot listen on {host}:{port} ({error.strerror}); name another --port, or a --host of this machine'
            ) from error
        undo.pop_all()
        return bound


class _Server(uvicorn.Server):
    """One that says when it is up."""

    def __init__(self, config: uvicorn.Config, up: Callable[[], None]) -> None:
        super().__init__(config)
        self._up = up

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._up()


async def _run(server: uvicorn.Server, listening: socket.socket, bundles: Bundles) -> None:
    tasks: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = asyncio.create_task(_reload(bundles))
        tasks.add(task)  # the loop keeps only a weak reference
        task.add_done_callback(tasks.discard)

    if hasattr(signal, 'SIGHUP'):
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
    await server.serve([listening])


async def _reload(bundles: Bundles) -> None:
    try:
        await bundles.reload()
        LOGGER.warning('bundles loaded anew: %s', ', '.join(bundles.folders))
    except BundleError as error:
        LOGGER.error('the old bundles go on serving: %s', error)
