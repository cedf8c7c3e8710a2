# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The server process: one machine, one process, until a signal."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Mapping
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
) -> None:
    """Serve bundles until SIGTERM or SIGINT, which end it after the last answer; SIGHUP loads the bundles anew.

    Args:
        folders: bundles by name.
        host: address to listen on; by default this machine alone can reach it.
        port: to listen on.
        settings: bounds and batching.
        engine: what runs the graphs.

    Raises:
        BundleError: if a bundle is wrong.
    """
    app = create_app(folders, settings, engine)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level='warning',
        # The parser whose bounds are set below, whatever else is installed.
        http='h11',
        loop='asyncio',
        limit_concurrency=1000,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=30,
        h11_max_incomplete_event_size=32 << 10,
    )
    asyncio.run(_run(uvicorn.Server(config), app.state.bundles))


async def _run(server: uvicorn.Server, bundles: Bundles) -> None:
    tasks: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = asyncio.create_task(_reload(bundles))
        tasks.add(task)  # the loop keeps only a weak reference
        task.add_done_callback(tasks.discard)

    if hasattr(signal, 'SIGHUP'):
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
    await server.serve()


async def _reload(bundles: Bundles) -> None:
    try:
        await bundles.reload()
        LOGGER.warning('bundles loaded anew: %s', ', '.join(bundles.folders))
    except BundleError as error:
        LOGGER.error('the old bundles go on serving: %s', error)
