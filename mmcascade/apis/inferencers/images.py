# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Images of all kinds that Python users have in hand."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from mmcascade._system.extras import needed_by

with needed_by('mmcascade.apis'):
    import mmcv

ImageLike: TypeAlias = 'str | PathLike[str] | bytes | Image.Image | NDArray[np.uint8] | Tensor'

_KINDS = (
    'a path or URL, the bytes of a file, a PIL image, a uint8 array (H, W, 3) in the order BGR, or a tensor (3, H, W) '
    'in the order RGB, uint8 or floats in [0, 1]'
)


def as_bgr(image: ImageLike) -> NDArray[np.uint8]:
    """An image as the pipelines of OpenMMLab read it from a file: uint8 ``(H, W, 3)`` in the order BGR.

    Args:
        image: a path or URL; the content of a file as bytes; a PIL image; a uint8 array ``(H, W)``, ``(H, W, 3)`` or
            ``(H, W, 4)`` in OpenCV's order BGR(A), of which the transparency is dropped; a tensor ``(3, H, W)`` or
            ``(1, H, W)`` in torchvision's order RGB, uint8 in 0..255 or floats in [0, 1].

    Raises:
        TypeError: on anything else.
        ValueError: on a shape or values that no image has, or a file that cannot be read.

    Example:
        >>> import torch
        >>> red = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)
        >>> as_bgr(red).tolist()
        [[[0, 0, 255]]]
    """
    if isinstance(image, str | PathLike):
        return _read(mmcv.imread(str(image)), f'the image {str(image)!r}')
    if isinstance(image, bytes | bytearray | memoryview):
        return _read(mmcv.imfrombytes(bytes(image)), f'an image of {len(image)} bytes')
    if isinstance(image, Image.Image):
        # As mmcv reads files: turned as its camera was held, and in three channels.
        return np.ascontiguousarray(np.asarray(ImageOps.exif_transpose(image).convert('RGB'))[..., ::-1])
    if isinstance(image, Tensor):
        return np.ascontiguousarray(_of_tensor(image).permute(1, 2, 0).numpy()[..., ::-1])
    if isinstance(image, np.ndarray):
        return _of_array(image)
    raise TypeError(f'an image is {_KINDS}; got a {type(image).__name__}')


def name_of(image: ImageLike) -> str:
    """The name of a file without its suffix; empty for what is no file."""
    return Path(str(image)).stem if isinstance(image, str | PathLike) else ''


def _read(image: NDArray[np.uint8] | None, name: str) -> NDArray[np.uint8]:
    if image is None:
        raise ValueError(f'{name} cannot be read: it is no image, or cut off')
    return image


def _of_array(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if image.dtype != np.uint8:
        raise ValueError(f'an array of an image holds uint8 in 0..255, got {image.dtype}; scale and convert it first')
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4) or not image.size:
        raise ValueError(f'an array of an image is (H, W), (H, W, 3) or (H, W, 4), got {image.shape}')
    return np.ascontiguousarray(np.repeat(image, 3, 2) if image.shape[2] == 1 else image[..., :3])


def _of_tensor(image: Tensor) -> Tensor:
    image = image.detach().cpu()
    if image.dim() != 3 or image.shape[0] not in (1, 3) or not image.numel():
        raise ValueError(f'a tensor of an image is (3, H, W) or (1, H, W), got {tuple(image.shape)}')
    if image.is_floating_point():
        if not (image.min() >= 0 and image.max() <= 1):
            raise ValueError(
                f'a tensor of floats holds an image in [0, 1], got {image.min():g} to {image.max():g}; hand it in '
                'before it is normalised, members do that themselves'
            )
        image = (image.float() * 255).round().to(torch.uint8)
    elif image.dtype != torch.uint8:
        raise ValueError(f'a tensor of an image is uint8 or floats, got {image.dtype}')
    return image.expand(3, -1, -1)
