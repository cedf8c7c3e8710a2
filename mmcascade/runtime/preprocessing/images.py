# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""From a file, bytes or a picture in memory to raw pixels, with bounds on what a stranger's file may take."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from mmcascade.runtime.errors import ImageError

#: What is taken for an image: a path, an encoded file, an RGB or grey array of 8 bits, or a picture of Pillow.
ImageLike = str | Path | bytes | NDArray[np.uint8] | Image.Image

#: Formats that are decoded. Pillow knows more, among them some that run other programs.
FORMATS = ('JPEG', 'PNG', 'WEBP', 'BMP', 'GIF', 'TIFF', 'PPM')


@dataclass(frozen=True)
class ImageLimits:
    """How large an image may be.

    Attributes:
        pixels: height times width, looked at before anything is decoded.
        bytes: of the encoded file.
    """

    pixels: int = 100_000_000
    bytes: int = 100_000_000


def read_image(image: ImageLike, limits: ImageLimits | None = None) -> NDArray[np.uint8]:
    """Raw pixels ``(H, W, 3)``, RGB, 8 bits; turned as the file's orientation says, transparency dropped.

    Raises:
        ImageError: if it cannot be read, is larger than the limits, or is none of :data:`ImageLike`.
    """
    limits = limits or ImageLimits()
    if isinstance(image, np.ndarray):
        return _checked_array(image, limits)
    if isinstance(image, Image.Image):
        return _pixels(image, limits, 'the picture')
    name = str(image) if isinstance(image, (str, Path)) else 'the encoded image'
    with _opened(image, limits, name) as picture:
        return _pixels(picture, limits, name)


def image_size(data: bytes, limits: ImageLimits | None = None) -> tuple[int, int]:
    """Height and width that an encoded image tells of itself, which is not decoded, nor turned.

    Raises:
        ImageError: as :func:`read_image`, as far as that can be told.
    """
    limits = limits or ImageLimits()
    with _opened(data, limits, 'the encoded image') as picture:
        _check_size(picture.height, picture.width, limits, 'the encoded image')
        return picture.height, picture.width


@contextmanager
def _opened(image: str | Path | bytes, limits: ImageLimits, name: str) -> Iterator[Image.Image]:
    """An image that is not decoded yet; whatever goes wrong inside is an ImageError."""
    try:
        data = image if isinstance(image, bytes) else _read_file(Path(image), limits)
        if len(data) > limits.bytes:
            raise ImageError(f'{name} has {len(data):,} bytes, more than the {limits.bytes:,} that are allowed')
        with warnings.catch_warnings():
            # Our own bound on pixels stands in place of Pillow's warning about large pictures.
            warnings.simplefilter('ignore')
            with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
                yield picture
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(f'{name} cannot be read as an image: it is none of {", ".join(FORMATS)}') from error
    except TypeError as error:
        raise ImageError(
            f'an image is a path, bytes, an array or a picture of Pillow, got {type(image).__name__}'
        ) from error
    except Exception as error:  # Pillow's plugins raise whatever a broken file makes them
        why = getattr(error, 'strerror', None) or str(error) or type(error).__name__
        raise ImageError(f'{name} cannot be read as an image ({why})') from error


def _read_file(path: Path, limits: ImageLimits) -> bytes:
    with path.open('rb') as file:
        return file.read(limits.bytes + 1)


def _checked_array(image: NDArray[np.uint8], limits: ImageLimits) -> NDArray[np.uint8]:
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)):
        raise ImageError(
            'an array is an image if it is uint8 of shape (H, W, 3) in RGB or (H, W) in grey, '
            f'got {image.dtype} of shape {image.shape}'
        )
    _check_size(image.shape[0], image.shape[1], limits, 'the array')
    grey = image.reshape(*image.shape[:2], -1)
    return np.ascontiguousarray(np.broadcast_to(grey, (*image.shape[:2], 3)))


def _pixels(picture: Image.Image, limits: ImageLimits, name: str) -> NDArray[np.uint8]:
    _check_size(picture.height, picture.width, limits, name)
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith('I;16') or picture.mode == 'I':
        grey = np.asarray(picture, dtype=np.int64) >> 8  # 16 bits a pixel, of which the upper 8 count
        return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    if picture.mode in ('RGBA', 'LA', 'PA'):
        return np.ascontiguousarray(np.asarray(picture.convert('RGBA'))[..., :3])
    return np.asarray(picture.convert('RGB'))


def _check_size(height: int, width: int, limits: ImageLimits, name: str) -> None:
    if height < 1 or width < 1 or height * width > limits.pixels:
        raise ImageError(
            f'{name} has {height} x {width} pixels, and an image has at least one and at most {limits.pixels:,} here'
        )
