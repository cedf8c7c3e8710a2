# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""From a request's body to the pixels of its images, within bounds."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import anyio
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message, Receive

from mmcascade.runtime import ImageError
from mmcascade.runtime.preprocessing.images import image_size
from mmcascade.serving.batching import Pixels
from mmcascade.serving.bundles import Served
from mmcascade.serving.room import Take
from mmcascade.serving.settings import ServeSettings

#: Name and encoded bytes of an image; one that came alone has no name.
Encoded = tuple[str | None, bytes]


@dataclass(frozen=True)
class Sent:
    """An image of a request.

    Attributes:
        name: of the form's file; None for an image that came alone.
        pixels: raw ones, or why there are none.
    """

    name: str | None
    pixels: Pixels | ImageError


async def read_pixels(request: Request, served: Served, settings: ServeSettings, take: Take) -> list[Sent]:
    """The images of a request, decoded for a bundle.

    Raises:
        HTTPException: see :func:`read_images`.
        Refused: if there is no room for them.
    """
    encoded = await read_images(request, settings, take)
    take(sum(await asyncio.to_thread(lambda: [_decoded_bytes(data, settings) for _, data in encoded])))
    pixels = await asyncio.gather(*(asyncio.to_thread(served.read, data) for _, data in encoded))
    return [Sent(name, found) for (name, _), found in zip(encoded, pixels, strict=True)]


def _decoded_bytes(data: bytes, settings: ServeSettings) -> int:
    try:
        height, width = image_size(data, settings.limits)
    except ImageError:  # which is told when it is read
        return 0
    return 3 * height * width


async def read_images(request: Request, settings: ServeSettings, take: Take) -> list[Encoded]:
    """The images of a request: its whole body, or the files of a form.

    Args:
        request: of a client.
        settings: bounds.
        take: told of every part of the body that arrives.

    Raises:
        HTTPException: 400 on a broken form, 408 if the client is too slow, 413 on too much, 422 on no image.
    """
    declared = request.headers.get('content-length', '')
    if declared.isdecimal() and int(declared) > settings.max_bytes:
        raise _too_large(settings)
    bounded = Request(request.scope, _bounded(request, settings, take))
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


def _bounded(request: Request, settings: ServeSettings, take: Take) -> Receive:
    """The request's receive, which counts."""
    received = 0

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        part = len(message.get('body', b''))
        received += part
        if received > settings.max_bytes:
            raise _too_large(settings)
        take(part)
        return message

    return receive


def _too_large(settings: ServeSettings) -> HTTPException:
    return HTTPException(413, f'a request has at most {settings.max_bytes:,} bytes here')
