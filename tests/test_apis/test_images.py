# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import io
from pathlib import Path

import mmcv
import numpy as np
import pytest
import torch
from PIL import Image

from mmcascade.apis.inferencers.images import as_bgr, name_of

BGR = np.random.default_rng(0).integers(256, size=(5, 7, 3), dtype=np.uint8)
RGB = np.ascontiguousarray(BGR[..., ::-1])
GREY = BGR[..., 0]


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, 'PNG')
    return buffer.getvalue()


@pytest.mark.parametrize(
    'image',
    [
        BGR,
        BGR[:, ::-1][:, ::-1],
        np.dstack([BGR, np.full((5, 7), 9, np.uint8)]),
        Image.fromarray(RGB),
        Image.fromarray(np.dstack([RGB, np.full((5, 7), 9, np.uint8)]), 'RGBA'),
        png(RGB),
        bytearray(png(RGB)),
        torch.from_numpy(RGB).permute(2, 0, 1),
        torch.from_numpy(RGB).permute(2, 0, 1).double() / 255,
        torch.from_numpy(RGB).permute(2, 0, 1).float().div(255).requires_grad_(),
    ],
    ids=lambda image: type(image).__name__,
)
def test_every_kind_is_the_same_image(image):
    found = as_bgr(image)
    np.testing.assert_array_equal(found, BGR)
    assert found.flags.c_contiguous and found.dtype == np.uint8


@pytest.mark.parametrize('image', [GREY, GREY[..., None], Image.fromarray(GREY), torch.from_numpy(GREY.copy())[None]])
def test_grey_images_get_three_channels(image):
    np.testing.assert_array_equal(as_bgr(image), np.repeat(GREY[..., None], 3, 2))


@pytest.mark.parametrize('orientation', range(1, 9))
def test_files_and_pil_images_are_turned_alike(orientation, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / 'turned.png'
    Image.fromarray(RGB).save(path, exif=exif)
    np.testing.assert_array_equal(as_bgr(Image.open(path)), as_bgr(path))


def test_files_are_read_as_pipelines_read_them(tmp_path):
    path = tmp_path / 'a b.png'
    path.write_bytes(png(RGB))
    for name in (path, str(path)):
        np.testing.assert_array_equal(as_bgr(name), mmcv.imread(str(path)))
        assert name_of(name) == 'a b'
    assert name_of(BGR) == ''
    with pytest.raises(FileNotFoundError):
        as_bgr(tmp_path / 'none.png')
    path.write_text('no image')
    with pytest.raises(ValueError, match=r"a b\.png' cannot be read: it is no image, or cut off"):
        as_bgr(path)


@pytest.mark.parametrize(
    'image, error, message',
    [
        (b'no image', ValueError, 'an image of 8 bytes cannot be read'),
        (3, TypeError, 'an image is a path or URL, .*; got a int'),
        (None, TypeError, 'got a NoneType'),
        (BGR.astype(np.int64), ValueError, 'uint8 in 0..255, got int64'),
        (BGR / 255, ValueError, 'got float64'),
        (BGR.transpose(2, 0, 1), ValueError, r'got \(3, 5, 7\)'),
        (BGR[:0], ValueError, r'got \(0, 7, 3\)'),
        (torch.zeros(5, 7, 3), ValueError, r'\(3, H, W\) or \(1, H, W\), got \(5, 7, 3\)'),
        (torch.zeros(1, 3, 5, 7), ValueError, r'got \(1, 3, 5, 7\)'),
        (torch.full((3, 5, 7), -1.0), ValueError, r'in \[0, 1\], got -1 to -1; hand it in before it is normalised'),
        (torch.full((3, 5, 7), torch.nan), ValueError, 'got nan to nan'),
        (torch.zeros(3, 5, 7, dtype=torch.int64), ValueError, 'uint8 or floats, got torch.int64'),
    ],
)
def test_what_is_no_image_is_named(image, error, message):
    with pytest.raises(error, match=message):
        as_bgr(image)


def test_paths_need_no_suffix():
    assert name_of(Path('folder.d/file')) == 'file'
