# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The HTTP application."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi_offline import FastAPIOffline
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mmcascade.runtime import Decision, Engine, ImageError
from mmcascade.runtime.decision.policies import Thresholds, Windows
from mmcascade.serving.batching import Refused
from mmcascade.serving.bundles import Bundles, Served, ServedClassifier, ServedSegmentor
from mmcascade.serving.metrics import ServerMetrics
from mmcascade.serving.requests import Sent, read_pixels
from mmcascade.serving.room import Room
from mmcascade.serving.schemas import BundleInfo, DecisionRow, Decisions, Labels, Problem, StageInfo
from mmcascade.serving.settings import ServeSettings

PAGE = Path(__file__).parent / 'page'
#: Nothing that a page shows comes from elsewhere, and nothing it says is run.
_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'"
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {'model': Problem, 'description': words}
    for status, words in {
        400: 'The request cannot be read, or its only image cannot.',
        404: 'There is no such bundle.',
        408: 'The request did not arrive in time.',
        413: 'The request, or its only image, is too large.',
        422: 'There is no image, or a parameter is wrong.',
        429: 'Too many images wait; come again after Retry-After seconds.',
        503: 'The image waited too long, or the server is about to stop.',
    }.items()
}
_BODY = {
    'requestBody': {
        'required': True,
        'content': {
            'application/octet-stream': {'schema': {'type': 'string', 'format': 'binary'}},
            'multipart/form-data': {
                'schema': {
                    'type': 'object',
                    'required': ['images'],
                    'properties': {'images': {'type': 'array', 'items': {'type': 'string', 'format': 'binary'}}},
                }
            },
        },
    }
}


def create_app(
    folders: Mapping[str, Path], settings: ServeSettings | None = None, engine: Engine | None = None
) -> FastAPI:
    """The application that serves some bundles.

    Args:
        folders: bundles by name; the first one answers requests that name none.
        settings: bounds and batching.
        engine: what runs the graphs.

    Raises:
        BundleError: if a bundle is wrong.
    """
    settings = settings or ServeSettings()
    metrics = ServerMetrics()
    bundles = Bundles(folders, settings, engine or Engine(), metrics)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        bundles.start()
        yield
        await bundles.close()

    app = FastAPIOffline(
        title='mmcascade',
        description='Decisions of a calibrated cascade.',
        version='1',
        lifespan=lifespan,
        responses={},
    )
    app.state.bundles = bundles
    app.add_middleware(_CountAnswers, bundles=bundles, metrics=metrics)
    room = Room(settings.max_waiting_bytes)
    _add_decisions(app, bundles, settings, metrics, room)
    _add_labels(app, bundles, settings, metrics, room)
    _add_operations(app, bundles, metrics)
    _add_page(app)
    return app


def _add_decisions(app: FastAPI, bundles: Bundles, settings: ServeSettings, metrics: ServerMetrics, room: Room) -> None:
    @app.post('/v1/decide', responses=_PROBLEMS, openapi_extra=_BODY)
    async def decide(
        request: Request,
        bundle: Annotated[str | None, Query(description='Name of a bundle; by default the first one.')] = None,
        top: Annotated[int, Query(ge=0, le=100, description='How many of the best classes to list.')] = 0,
    ) -> Decisions:
        """Decide on one image (the body) or several (files named `images` of a form)."""
        started = time.monotonic()
        served = _served(bundles, bundle)
        if not isinstance(served, ServedClassifier):
            raise HTTPException(422, f'bundle {served.name!r} labels pixels: POST an image to /v1/segment')
        with served.answering(), room.place() as take:
            images = await read_pixels(request, served, settings, take)
            readable = [image.pixels for image in images if not isinstance(image.pixels, ImageError)]
            metrics.failures.labels(served.name).inc(len(images) - len(readable))
            if not readable and len(images) == 1:
                raise HTTPException(400, str(images[0].pixels))
            decisions = await served.decide(readable) if readable else []
        metrics.decided(served.name, decisions, time.monotonic() - started)
        return Decisions(bundle=served.name, decisions=_rows(served, images, decisions, top))

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> JSONResponse:
        return JSONResponse({'detail': str(error)}, error.status, {'Retry-After': str(error.retry_after)})

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=400)  # which nobody reads


def _add_labels(app: FastAPI, bundles: Bundles, settings: ServeSettings, metrics: ServerMetrics, room: Room) -> None:
    @app.post(
        '/v1/segment',
        responses={**_PROBLEMS, 200: {'model': Labels, 'content': {'image/png': {}}}},
        openapi_extra=_BODY,
        response_model=None,
    )
    async def segment(
        request: Request,
        bundle: Annotated[str | None, Query(description='Name of a bundle; by default the first one.')] = None,
        answer: Annotated[Literal['json', 'png'], Query(description='All, or the labels alone as a PNG.')] = 'json',
    ) -> Response:
        """Label the pixels of one image."""
        started = time.monotonic()
        served = _served(bundles, bundle)
        if not isinstance(served, ServedSegmentor):
            raise HTTPException(422, f'bundle {served.name!r} decides on whole images: POST them to /v1/decide')
        with served.answering(), room.place() as take:
            images = await read_pixels(request, served, settings, take)
            if len(images) > 1:
                raise HTTPException(422, f'pixels are labelled image by image, and there are {len(images)}; send one')
            try:
                if isinstance(image := images[0].pixels, ImageError):
                    raise image
                found = await served.segment(image)
            except ImageError as error:
                metrics.failures.labels(served.name).inc()
                raise HTTPException(400, str(error)) from error
        metrics.segmented(served.name, found, time.monotonic() - started)
        png = await asyncio.to_thread(found.png)
        if answer == 'png':
            return Response(png, media_type='image/png')
        row = Labels.model_validate(
            {'bundle': served.name, 'labels': base64.b64encode(png).decode(), **found.to_json()}
        )
        return JSONResponse(row.model_dump())


class _CountAnswers:
    """Counts the answers to requests for decisions by their status."""

    def __init__(self, app: ASGIApp, bundles: Bundles, metrics: ServerMetrics) -> None:
        self._app = app
        self._bundles = bundles
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope['type'] != 'http' or scope['path'] not in ('/v1/decide', '/v1/segment'):
            return await self._app(scope, receive, send)
        name = Request(scope).query_params.get('bundle') or next(iter(self._bundles.folders))
        known = name if name in self._bundles.folders else 'unknown'

        async def counted(message: Message) -> None:
            if message['type'] == 'http.response.start':
                self._metrics.requests.labels(known, message['status']).inc()
            await send(message)

        return await self._app(scope, receive, counted)


def _add_operations(app: FastAPI, bundles: Bundles, metrics: ServerMetrics) -> None:
    @app.get('/v1/bundles')
    async def list_bundles() -> list[BundleInfo]:
        """The bundles that are served, the default first."""
        return [_info(served) for served in bundles]

    @app.get('/healthz')
    async def healthy() -> dict[str, str]:
        """Whether the process answers."""
        return {'status': 'ok'}

    @app.get('/readyz', responses={503: {'model': Problem, 'description': 'Bundles are loading, or it stops.'}})
    async def ready() -> dict[str, str]:
        """Whether requests will be decided on."""
        if not bundles.ready:
            raise HTTPException(503, 'not ready')
        return {'status': 'ready'}

    @app.get('/metrics', response_class=Response)
    async def prometheus() -> Response:
        """Counters for Prometheus."""
        for served in bundles:
            served.publish()
        return Response(metrics.text(), media_type='text/plain; version=0.0.4')


def _add_page(app: FastAPI) -> None:
    headers = {'Content-Security-Policy': _POLICY, 'X-Content-Type-Options': 'nosniff'}
    for name in ('index.html', 'page.css', 'page.js', 'labels.js'):

        async def page(file: Path = PAGE / name) -> FileResponse:
            return FileResponse(file, headers=headers)

        app.add_api_route('/' if name == 'index.html' else f'/{name}', page, include_in_schema=False)


def _served(bundles: Bundles, name: str | None) -> Served:
    if name is not None and name not in bundles.folders:
        raise HTTPException(404, f'there is no bundle {name!r}; there is {", ".join(map(repr, bundles.folders))}')
    try:
        return bundles[name]
    except KeyError as error:
        raise HTTPException(503, 'the server is about to stop') from error


def _rows(served: ServedClassifier, images: list[Sent], decisions: list[Decision], top: int) -> list[DecisionRow]:
    given = iter(decisions)
    stages = served.manifest.stages
    rows = []
    for image in images:
        if isinstance(image.pixels, ImageError):
            rows.append(DecisionRow(image=image.name, error=str(image.pixels)))
            continue
        decision = next(given)
        best = np.argsort(-decision.probabilities, kind='stable')[:top].tolist()
        rows.append(
            DecisionRow(
                image=image.name,
                member=stages[decision.exit_stage].member,
                top=[(label, float(decision.probabilities[label])) for label in best],
                label=decision.label,
                class_name=decision.class_name,
                confidence=decision.confidence if np.isfinite(decision.confidence) else None,
                accepted=decision.accepted,
                exit_stage=decision.exit_stage,
                macs=decision.macs,
            )
        )
    return rows


def _info(served: Served) -> BundleInfo:
    manifest = served.manifest
    policy = manifest.policy
    if isinstance(policy, Windows):
        windows = list(policy.windows)
    elif isinstance(policy, Thresholds):
        windows = [None if threshold is None else (None, threshold) for threshold in policy.thresholds]
    else:
        windows = [None] * (len(manifest.stages) - 1)
    return BundleInfo(
        name=served.name,
        task=manifest.task,
        num_classes=manifest.num_classes,
        classes=None if manifest.classes is None else list(manifest.classes),
        confidence=manifest.confidence,
        fusion=manifest.fusion,
        stages=[StageInfo(member=stage.member, macs=stage.macs) for stage in manifest.stages],
        windows=windows,
        accept=manifest.accept,
        calibrated=manifest.expected is not None,
    )
