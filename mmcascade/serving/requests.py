# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""From a request's body to encoded images, within bounds."""

from __future__ import annotations

import anyio
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message, Receive

from mmcascade.serving.settings import ServeSettings

#: Name and encoded bytes of an image; one that came alone has no name.
Encoded = tuple[str | None, bytes]


async def read_images(request: Request, settings: ServeSettings) -> list[Encoded]:
    """The images of a request: its whole body, or the files of a form.

    Raises:
        HTTPException: 400 on a broken form, 408 if the client is too slow, 413 on too much, 422 on no image.
    """
    declared = request.headers.get('content-length', '')
    if declared.isdecimal() and int(declared) > settings.max_bytes:
        raise _too_large(settings)
    bounded = Request(request.scope, _bounded(request, settings))
    try:
        with anyio.fail_after(settings.receive_s):
            kind = request.headers.get('content-type', '').partition(';')[0].strip().lower()
            images = await (_of_form(bounded, settings) if kind == 'multipart/form-data' else _of_body(bounded))
    except TimeoutError as error:
        raise HTTPException(408, f'the request did not arrive within {settings.receive_s:g} seconds') from error
    if not images:
        raise HTTPException(422, "there is no image: send one as the body, or files named 'images' as a form")
    if len(images) > settings.max_images:
        raise HTTPException(413, f'{len(images)} images are more than the {settings.max_images} of one request')
    return images


async def _of_body(request: Request) -> list[Encoded]:
    body = await request.body()
    return [(None, body)] if body else []


async def _of_form(request: Request, settings: ServeSettings) -> list[Encoded]:
    try:
        async with request.form(max_files=settings.max_images + 1, max_fields=10) as form:
            files = [value for value in form.getlist('images') if isinstance(value, UploadFile)]
            return [(file.filename, await file.read()) for file in files]
    except HTTPException as error:
        # Starlette says 400 to whatever its parser does not like.
        raise HTTPException(413 if 'Too many' in str(error.detail) else error.status_code, error.detail) from error


def _bounded(request: Request, settings: ServeSettings) -> Receive:
    """The request's receive, which counts."""
    received = 0

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        received += len(message.get('body', b''))
        if received > settings.max_bytes:
            raise _too_large(settings)
        return message

    return receive


def _too_large(settings: ServeSettings) -> HTTPException:
    return HTTPException(413, f'a request has at most {settings.max_bytes:,} bytes here')
