# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmcascade.models.stages.views.device_view import DeviceView, resize_antialiased
from tests.support.members.tiny_models import images

CPU = torch.device('cpu')
PILLOW = dict(bicubic=Image.Resampling.BICUBIC, bilinear=Image.Resampling.BILINEAR)


@pytest.mark.parametrize('interpolation', PILLOW)
@pytest.mark.parametrize('size', [(20, 20), (17, 33), (40, 24)])
@pytest.mark.parametrize('dtype', [torch.uint8, torch.float32])
def test_resizes_as_pillow_does(interpolation, size, dtype):
    source = images(3, 36)
    resized = resize_antialiased(source.to(dtype), size, interpolation)
    assert resized.dtype == dtype and resized.shape == (3, 3, *size)
    for before, after in zip(source, resized, strict=True):
        picture = Image.fromarray(before.permute(1, 2, 0).numpy())
        expected = np.asarray(picture.resize(size[::-1], PILLOW[interpolation])).astype(float)
        got = after.permute(1, 2, 0).double().numpy().clip(0, 255)
        assert np.abs(got - expected).max() <= (1 if dtype == torch.uint8 else 1.51)


def test_whole_pixels_are_the_rounded_exact_ones():
    source = images(4, 48)
    exact = resize_antialiased(source.float(), (20, 20))
    assert torch.equal(resize_antialiased(source, (20, 20)).float(), exact.round().clamp(0, 255))


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 255))
def test_a_flat_image_stays_flat(height, width, grey):
    flat = torch.full((2, 3, 9, 7), grey, dtype=torch.uint8)
    assert (resize_antialiased(flat, (height, width)) == grey).all()


def test_floats_are_not_cut_to_the_range_of_pixels():
    source = torch.full((1, 1, 8, 8), -3.5)
    torch.testing.assert_close(resize_antialiased(source, (4, 4)), source[..., :4, :4])


def test_resizes_then_mirrors():
    source = images(2, 32)
    view = DeviceView((16, 24), flip=True, interpolation='bilinear')
    assert torch.equal(view(source, CPU), resize_antialiased(source, (16, 24), 'bilinear').flip(-1))
    assert view.shape((3, 32, 32)) == (3, 16, 24)
    assert view.resizing == '16x24 bilinear'


def test_nothing_to_do_is_nothing_done():
    source = images(2, 32)
    assert DeviceView()(source, CPU) is source
    assert DeviceView(32)(source, CPU) is source
    assert DeviceView().shape((1, 28, 28)) == (1, 28, 28)


def test_warns_once_when_it_enlarges():
    view = DeviceView((16, 40))
    with pytest.warns(UserWarning, match=r'resize=\(16, 40\) enlarges a view of 32 x 32 pixels.*data pipeline'):
        view(images(2, 32), CPU)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        view(images(2, 32), CPU)
        DeviceView(16)(images(2, 32), CPU)


@pytest.mark.parametrize('size', [0, -8, (16, 0), (16, 16, 16), 16.0, '16', True, (16, True)])
def test_refuses_what_is_no_size(size):
    with pytest.raises(ValueError, match=r'resize is the side of a square or \(height, width\).* from 1, got '):
        DeviceView(size)


def test_refuses_an_unknown_interpolation():
    with pytest.raises(ValueError, match="interpolation is one of .*'bicubic'.* got 'nearest'"):
        DeviceView(16, interpolation='nearest')


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_a_gpu_agrees_within_a_grey_level():
    source = images(4, 48)
    view = DeviceView(20, flip=True)
    there = view(source, torch.device('cuda'))
    assert there.is_cuda and there.dtype == torch.uint8
    assert (there.cpu().int() - view(source, CPU).int()).abs().max() <= 1
