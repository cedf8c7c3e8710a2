# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Class scores of raw images against MMSegmentation's own inference."""

from __future__ import annotations

import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import ConfigDict
from mmseg.structures import SegDataSample
from torch import nn

from mmcascade.models.parts.segmentor_parts import output_stride
from mmcascade.models.runtimes.execution import Execution
from mmcascade.models.runtimes.networks.segmentor_network import (
    SegmentorNetwork,
    _starts,
    no_segmentor,
    segmentor_gives_logits,
)
from mmcascade.models.runtimes.torch_runtime import TorchRuntime
from mmcascade.registry import MODELS
from tests.support.members.tiny_segmentors import TINY, batch, image, tiny

member_of = functools.cache(tiny)
KINDS = [kind for kind in TINY if kind not in ('fixed', 'binary')]


def scores_through_mmseg(member, data):
    with torch.no_grad():
        return torch.stack([s.seg_logits.data for s in member.test_step(data)])


@pytest.mark.parametrize('kind', KINDS)
def test_equals_mmseg_bit_for_bit(kind):
    member = member_of(kind)
    for size in [(64, 96), (70, 101), (33, 40), (24, 130)]:
        data = batch(2, *size)
        with torch.no_grad():
            found = SegmentorNetwork(member)(torch.stack(data['inputs']))
        assert found.probabilities is None and found.logits.shape[2:] == size
        expected = scores_through_mmseg(member, data)
        # MMSegmentation resizes to the original size, which rounds even where that is the same.
        torch.testing.assert_close(found.logits, expected, rtol=1e-6, atol=1e-6)


def test_samples_of_the_caller_stay_as_they_are():
    member, data = member_of('divisor'), batch(2, 50, 70)
    SegmentorNetwork(member)(torch.stack(data['inputs']))
    assert 'img_padding_size' not in data['data_samples'][0].metainfo
    assert member.test_cfg == dict(mode='whole')


def test_padding_on_all_sides_is_cut_off():
    """Some preprocessors put the image into the middle."""
    member = tiny('fcn')
    plain = member.data_preprocessor

    class Centred(nn.Module):
        def forward(self, data, training=False):
            data = plain(data, training)
            data['inputs'] = nn.functional.pad(data['inputs'], (8, 16, 24, 0))
            for one in data['data_samples']:
                one.set_metainfo(dict(padding_size=(8, 16, 24, 0)))
            return data

    member.data_preprocessor = Centred()
    pixels = image()
    with torch.no_grad():
        found = SegmentorNetwork(member)(pixels[None]).logits
        inputs = member.data_preprocessor(dict(inputs=[pixels], data_samples=[SegDataSample()]))['inputs']
        whole = member.encode_decode(inputs, [dict(img_shape=inputs.shape[2:])])
    assert torch.equal(found, whole[..., 24:, 8:-16])
    assert found.shape[2:] == (64, 96)


@settings(max_examples=200)
@given(whole=st.integers(1, 90), crop=st.integers(1, 60), stride=st.integers(1, 60))
def test_windows_cover_the_image(whole, crop, stride):
    stride = min(stride, crop)
    starts = _starts(whole, crop, stride)
    covered = set()
    for start in starts:
        assert 0 <= start <= max(whole - crop, 0)
        covered |= set(range(start, min(start + crop, whole)))
    assert covered == set(range(whole))
    assert len(starts) == len(set(starts))


def test_autocast_and_memory_order():
    member, pixels = member_of('fcn'), image()[None]
    with torch.no_grad():
        full, half, last = (
            TorchRuntime(SegmentorNetwork(member), execution)(pixels).values
            for execution in (Execution(), Execution(amp='bfloat16'), Execution(channels_last=True))
        )
    assert not torch.equal(half.float(), full)
    assert (half.float().argmax(1) == full.argmax(1)).float().mean() > 0.9
    torch.testing.assert_close(last.contiguous(), full, rtol=1e-3, atol=1e-4)


def test_heads_of_mask_classifiers_give_probabilities():
    member = tiny('fcn')
    heads = type('Mask2FormerHead', (type(member.decode_head),), {})
    assert segmentor_gives_logits(member)
    member.decode_head.__class__ = heads

    def positive(module, inputs, output):
        return output.sigmoid()

    member.decode_head.conv_seg.register_forward_hook(positive)
    assert not segmentor_gives_logits(member)
    with torch.no_grad():
        found = SegmentorNetwork(member)(image()[None])
    assert found.logits is None
    torch.testing.assert_close(found.probabilities.sum(1), torch.ones(1, 64, 96))
    with torch.no_grad():
        (labels,) = member.test_step(batch())
    assert torch.equal(found.probabilities.argmax(1), labels.pred_sem_seg.data)


def test_what_is_no_segmentor():
    assert no_segmentor(member_of('refined')) is None
    assert 'labels no pixels' in no_segmentor(nn.Conv2d(3, 5, 1))
    assert 'single sigmoid output' in no_segmentor(member_of('binary'))


@pytest.mark.parametrize('kind, stride', [('fcn', 8), ('segformer', 8), ('refined', 8), ('fixed', None)])
def test_stride_of_a_backbone(kind, stride):
    assert output_stride(member_of(kind)) == stride


@pytest.mark.parametrize('depth, stride', [(3, 16), (4, 32)])
def test_stride_of_the_coarsest_map(depth, stride):
    from mmseg.registry import MODELS

    config = ConfigDict(TINY['fcn'], _scope_='mmseg')
    config.backbone.update(
        num_stages=depth, strides=(1, 2, 2, 2)[:depth], dilations=(1,) * depth, out_indices=tuple(range(depth))
    )
    assert output_stride(MODELS.build(config).eval()) == stride


def test_a_compiled_stage_gives_the_same_labels_and_meets_few_batch_sizes(monkeypatch):
    sizes = []

    def fake_compile(self, device):
        def compiled(x):
            sizes.append(len(x))
            return self.network.values(x)

        return compiled

    monkeypatch.setattr('mmcascade.models.runtimes.compiled_runtime.CompiledRuntime._compile', fake_compile)
    members = dict(a=member_of('fcn', 0), b=member_of('wide', 1))

    def labels(**options):
        model = MODELS.build(
            dict(
                type='mmcascade.CascadeSegmentor',
                members=members,
                grid=dict(cell=32),
                stages=[dict(member='a', **options), dict(member='b', **options)],
                policy=dict(type='mmcascade.RandomPolicy', rates=[0.6]),
            )
        )
        return [sample.pred_sem_seg.data for sample in model.test_step(batch(1, 64, 96))]

    assert all(torch.equal(a, b) for a, b in zip(labels(), labels(compile=True), strict=True))
    assert sizes[0] == 1 and len(sizes) > 1
    assert set(sizes[1:]) <= {1, 2, 4, 8}  # crops of an image, a few at a time, and what is left over
