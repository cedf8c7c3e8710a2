# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Views of a bundle are those of the pipelines that they stand for."""

from __future__ import annotations

import io
import re

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmcascade.runtime import BundleError, ImageError
from mmcascade.runtime.fields import Fields
from mmcascade.runtime.preprocessing import opencv_resize
from mmcascade.runtime.preprocessing.images import ImageLimits, image_size, read_image
from mmcascade.runtime.preprocessing.views import View

CODES = {
    'nearest': cv2.INTER_NEAREST,
    'bilinear': cv2.INTER_LINEAR,
    'bicubic': cv2.INTER_CUBIC,
    'area': cv2.INTER_AREA,
}


def view(*steps, channels='bgr'):
    return View.read(Fields({'channels': channels, 'steps': list(steps)}, 'cascade.json: views[0]'))


def picture(height, width, seed=0):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), dtype=np.uint8)
    smooth = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).reshape(height, width, 3)
    return np.clip(smooth + rng.integers(-9, 10, smooth.shape), 0, 255).astype(np.uint8)


@given(st.sampled_from(sorted(CODES)), st.tuples(*[st.integers(1, 90)] * 4), st.integers(0, 99))
def test_opencv_resizing_to_one_level(method, sizes, seed):
    height, width, new_height, new_width = sizes
    if method == 'area':
        new_height, new_width = min(height, new_height), min(width, new_width)
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    expected = cv2.resize(image, (new_width, new_height), interpolation=CODES[method]).reshape(new_height, new_width, 3)
    resized = opencv_resize.resize(image, new_height, new_width, method)
    assert resized.dtype == np.uint8
    assert np.abs(resized.astype(int) - expected).max() <= (method != 'nearest')


def test_opencv_area_only_shrinks():
    with pytest.raises(ValueError, match="'area' shrinks"):
        opencv_resize.resize(np.zeros((4, 4, 3), np.uint8), 8, 2, 'area')


MM_STEPS = [
    (
        dict(type='ResizeEdge', scale=64, edge='short', backend='pillow', interpolation='bicubic'),
        dict(op='resize_edge', edge='short', size=64, library='pillow', method='bicubic'),
    ),
    (
        dict(type='ResizeEdge', scale=60, edge='long'),
        dict(op='resize_edge', edge='long', size=60, library='opencv', method='bilinear'),
    ),
    (
        dict(type='ResizeEdge', scale=50, edge='width', interpolation='area'),
        dict(op='resize_edge', edge='width', size=50, library='opencv', method='area'),
    ),
    (
        dict(type='Resize', scale=(48, 40), interpolation='bilinear'),
        dict(op='resize', height=40, width=48, library='opencv', method='bilinear'),
    ),
    (
        dict(type='Resize', scale=(70, 50), keep_ratio=True),
        dict(op='resize_within', long=70, short=50, library='opencv', method='bilinear'),
    ),
    (dict(type='CenterCrop', crop_size=(41, 33)), dict(op='center_crop', height=33, width=41)),
    (
        dict(type='EfficientNetCenterCrop', crop_size=56, crop_padding=8, backend='pillow'),
        dict(op='crop_resize', size=56, padding=8, library='pillow', method='bicubic'),
    ),
]


@pytest.mark.parametrize(('transform', 'step'), MM_STEPS, ids=lambda x: x.get('type'))
@pytest.mark.parametrize('size', [(97, 130), (131, 96), (64, 64), (150, 77)])
def test_steps_are_those_of_openmmlab(transform, step, size):
    mmpretrain = pytest.importorskip('mmpretrain.registry')
    pytest.importorskip('mmpretrain.datasets')
    image = picture(*size)
    built = mmpretrain.TRANSFORMS.build(dict(transform, _scope_='mmpretrain'))
    expected = built.transform({'img': image[..., ::-1].copy(), 'img_shape': size})['img']
    given = view(step)(image).transpose(1, 2, 0)
    assert given.shape == expected.shape
    assert np.abs(given.astype(int) - expected).max() <= 1
    if step.get('library') == 'pillow' or 'library' not in step:
        np.testing.assert_array_equal(given, expected)


def test_channels_and_flips():
    image = picture(6, 7)
    np.testing.assert_array_equal(view(channels='rgb')(image), image.transpose(2, 0, 1))
    flipped = view({'op': 'flip', 'direction': 'horizontal'}, channels='bgr')(image)
    np.testing.assert_array_equal(flipped, image[:, ::-1, ::-1].transpose(2, 0, 1))
    flipped = view({'op': 'flip', 'direction': 'vertical'}, channels='rgb')(image)
    np.testing.assert_array_equal(flipped, image[::-1].transpose(2, 0, 1))
    assert view(channels='grey')(image).shape == (1, 6, 7)


@pytest.mark.parametrize(
    'step',
    [
        {'op': 'eval'},
        {'op': 'resize', 'height': 0, 'width': 5, 'library': 'opencv', 'method': 'bilinear'},
        {'op': 'resize', 'height': 10**9, 'width': 5, 'library': 'opencv', 'method': 'bilinear'},
        {'op': 'resize', 'height': 5, 'width': True, 'library': 'opencv', 'method': 'bilinear'},
        {'op': 'resize', 'height': 5, 'width': 5, 'library': 'opencv', 'method': 'lanczos'},
        {'op': 'flip'},
        'resize',
        {},
    ],
)
def test_wrong_steps_are_named(step):
    with pytest.raises(BundleError, match=r'views\[0\].*steps\[0\]'):
        view(step)


def test_a_view_cannot_become_huge():
    thin = np.zeros((1, 4000, 3), np.uint8)
    with pytest.raises(ImageError, match='would become'):
        view(dict(op='resize_edge', edge='short', size=64, library='opencv', method='bilinear'))(thin)


SIZES = st.tuples(*[st.integers(1, 70)] * 2)
FILTERS = st.sampled_from(['pillow bicubic', 'opencv bilinear', 'opencv area']).map(
    lambda words: dict(zip(('library', 'method'), words.split(), strict=True))
)


def steps_of(sizes, filter_, choice):
    """One step of each kind, with numbers of some sizes."""
    (height, width), side = sizes, sizes[0]
    return [
        dict(op='resize', height=height, width=width, **filter_),
        dict(op='resize_edge', edge=('short', 'long', 'width', 'height')[choice % 4], size=side, **filter_),
        dict(op='resize_within', long=height, short=width, **filter_),
        dict(op='resize_ratio', height=height, width=width, fit=('inside', 'outside')[choice % 2], **filter_),
        dict(op='center_crop', height=height, width=width, fill=[1, 2, 3]),
        dict(op='center_crop', height=height, width=width),
        dict(op='crop_resize', size=side, padding=choice, **filter_),
        dict(op='flip', direction='vertical'),
    ]


@given(SIZES, SIZES, FILTERS, st.integers(0, 20), st.permutations(range(8)), st.integers(1, 3))
def test_what_becomes_of_an_image_is_known_before(image, sizes, filter_, choice, order, count):
    """Of any, however small or thin: it is refused before, or comes out as large as was said."""
    steps = steps_of(sizes, filter_, choice)
    made, pixels = view(*(steps[k] for k in order[:count])), np.zeros((*image, 3), np.uint8)
    try:
        size = made.result(*image)
    except ImageError:
        with pytest.raises(ImageError):
            made(pixels)
    else:
        assert made(pixels).shape == (3, *size)


@pytest.mark.parametrize('size', [(1, 9), (9, 1), (1, 40_000), (3, 2), (5, 5), (40_000, 3)])
def test_a_border_is_what_stands_around_the_middle(size):
    """Border first and crop then, as torchvision does it, would hold a thin image as a huge one."""
    made = view(dict(op='center_crop', height=4, width=4, fill=[1, 2, 3]), channels='rgb')(
        np.full((*size, 3), 9, np.uint8)
    )
    assert made.shape == (3, 4, 4)
    inside = (made == 9).all(0)
    assert inside.sum() == np.prod(np.minimum(size, 4))
    assert (made[:, ~inside] == np.array([[1], [2], [3]])).all()


def test_an_image_that_graphs_do_not_take_is_told_by_its_size():
    crop = dict(op='center_crop', height=8, width=6)
    made = View.read(Fields({'channels': 'rgb', 'steps': [crop], 'size': [8, 6]}, 'it'))
    assert made.result(8, 9) == (8, 6)
    with pytest.raises(ImageError, match='of 7 x 9 pixels is seen at 7 x 6, and the graphs take 8 x 6; give larger'):
        made.result(7, 9)


def test_the_size_of_an_encoded_image_is_told_by_its_head():
    data = encoded(Image.new('RGB', (50, 37)), 'PNG')
    assert image_size(data) == image_size(data[:60]) == (37, 50)
    for wrong, limits in ((data, ImageLimits(pixels=37 * 50 - 1)), (data, ImageLimits(bytes=20)), (b'no', None)):
        with pytest.raises(ImageError) as told:
            image_size(wrong, limits)
        with pytest.raises(ImageError, match=re.escape(str(told.value))):
            read_image(wrong, limits)


def encoded(picture, format, **options):
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize(('mode', 'format'), [('RGB', 'JPEG'), ('L', 'JPEG'), ('RGB', 'PNG'), ('L', 'PNG')])
@pytest.mark.parametrize('options', [{}, {'exif': True}])
def test_reads_what_opencv_reads(mode, format, options):
    image = Image.fromarray(picture(37, 50)).convert(mode)
    if options:
        exif = image.getexif()
        exif[0x0112] = 6
        options = {'exif': exif}
    data = encoded(image, format, **options)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(read_image(data), expected)


def test_transparency_palettes_and_deep_pixels():
    rgba = np.dstack([picture(9, 8), np.full((9, 8), 7, np.uint8)])
    np.testing.assert_array_equal(read_image(encoded(Image.fromarray(rgba), 'PNG')), rgba[..., :3])
    palette = Image.fromarray(picture(9, 8)).convert('P')
    np.testing.assert_array_equal(read_image(encoded(palette, 'PNG')), np.asarray(palette.convert('RGB')))
    deep = (np.arange(72, dtype=np.uint16).reshape(9, 8) * 900).astype(np.uint16)
    expected = cv2.imdecode(cv2.imencode('.png', deep)[1], cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(read_image(cv2.imencode('.png', deep)[1].tobytes()), expected)


def test_arrays_pictures_and_paths(tmp_path):
    image = picture(9, 8)
    Image.fromarray(image).save(tmp_path / 'a.png')
    for source in (image, Image.fromarray(image), tmp_path / 'a.png', str(tmp_path / 'a.png')):
        np.testing.assert_array_equal(read_image(source), image)
    np.testing.assert_array_equal(read_image(image[..., 0]), np.repeat(image[..., :1], 3, axis=2))


@pytest.mark.parametrize(
    ('source', 'words'),
    [
        (b'', 'cannot be read'),
        (b'GIF89a garbage', 'cannot be read'),
        (b'\x89PNG\r\n\x1a\n' + b'\0' * 50, 'cannot be read'),
        ('no/such/file.png', 'cannot be read'),
        (np.zeros((4, 4, 3), np.float32), 'uint8'),
        (np.zeros((4, 4, 4), np.uint8), r'\(4, 4, 4\)'),
        (np.zeros((0, 4, 3), np.uint8), '0 x 4'),
        (7, 'got int'),
    ],
)
def test_what_is_no_image_is_named(source, words):
    with pytest.raises(ImageError, match=words):
        read_image(source)


def test_bombs_are_refused_before_they_are_decoded():
    bomb = encoded(Image.new('1', (20_000, 20_000)), 'PNG')
    assert len(bomb) < 100_000
    with pytest.raises(ImageError, match='pixels'):
        read_image(bomb)
    with pytest.raises(ImageError, match='bytes'):
        read_image(bytes(2000), ImageLimits(bytes=1000))
