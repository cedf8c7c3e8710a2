# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmpretrain.datasets.transforms import CenterCrop
from torchvision.transforms.functional import five_crop, to_pil_image

from mmcascade.datasets.transforms.crop_at import POSITIONS, crop_at
from mmcascade.registry import TRANSFORMS


def picture(height, width):
    return np.random.default_rng(0).integers(256, size=(height, width, 3), dtype=np.uint8)


@given(st.integers(8, 19), st.integers(8, 19), st.integers(1, 8))
def test_equals_torchvisions_five_crop(height, width, size):
    image = picture(height, width)
    for crop, position in zip(
        five_crop(to_pil_image(image), size), ('top_left', 'top_right', 'bottom_left', 'bottom_right'), strict=False
    ):
        np.testing.assert_array_equal(crop_at(image, size, position), np.asarray(crop))


@given(st.integers(8, 19), st.integers(8, 19), st.integers(1, 8))
def test_the_centre_is_mmpretrains(height, width, size):
    image = picture(height, width)
    expected = CenterCrop(size)(dict(img=image))['img']
    np.testing.assert_array_equal(crop_at(image, size, 'center'), expected)


def test_as_a_transform():
    transform = TRANSFORMS.build(dict(type='mmcascade.CropAt', crop_size=4, position='top_right'))
    results = transform(dict(img=picture(6, 9)))
    np.testing.assert_array_equal(results['img'], picture(6, 9)[:4, 5:])
    assert results['img_shape'] == (4, 4)
    assert repr(transform) == "CropAt(crop_size=4, position='top_right')"


def test_one_channel_without_an_axis():
    assert crop_at(picture(6, 9)[..., 0], 5, 'center').shape == (5, 5)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(crop_size=0), 'crop_size, a side in pixels, is a whole number >= 1, got 0'),
        (dict(crop_size=True), 'crop_size, .* got True'),
        (dict(crop_size=4, position='middle'), "position is one of .*'center'.* got 'middle'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        TRANSFORMS.build(dict(type='mmcascade.CropAt', **options))


@pytest.mark.parametrize('position', POSITIONS)
def test_an_image_that_is_too_small(position):
    with pytest.raises(ValueError, match='a crop of 8 pixels does not fit into an image of 9 x 7.*ResizeEdge'):
        crop_at(picture(9, 7), 8, position)
