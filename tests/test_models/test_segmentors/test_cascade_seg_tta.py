# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Test-time augmentation of segmentation cascades, by MMSegmentation's model for it and by ours."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from torch import nn

from mmcascade.models.cascade_seg_tta import CascadeSegTTA
from mmcascade.registry import MODELS
from tests.support.members.tiny_segmentors import image, sample
from tests.test_models.segmentor_cascades import CLOSED, cascade, member_of, run, window

# MMSegmentation's own model hands its labels over without a channel.
pytestmark = pytest.mark.filterwarnings('ignore:The shape of value will convert from')

SIZE = (64, 96)


def augmented(n=2):
    """Images, mirrored ones and larger ones, as TestTimeAug gives them."""
    ways = [dict(), dict(flip='horizontal'), dict(size=(80, 120))]
    data = dict(inputs=[], data_samples=[])
    for way in ways:
        size, flip = way.get('size', SIZE), way.get('flip')
        pixels = [image(*size, seed=seed) for seed in range(n)]
        data['inputs'].append([x.flip(-1) if flip else x for x in pixels])
        meta = dict(img_path='x.png')
        data['data_samples'].append([sample(*size, SIZE, flip, sample_idx=i, **meta) for i in range(n)])
    return data


def separate(data):
    return [dict(inputs=x, data_samples=s) for x, s in zip(*data.values(), strict=True)]


def mmseg_tta(module):
    from mmseg.models import SegTTAModel

    return SegTTAModel(module=module)


@pytest.mark.parametrize('build', [mmseg_tta, CascadeSegTTA])
def test_labels_are_those_of_the_mean_of_fused_probabilities(build):
    model = cascade('fcn', 'wide', window((None, 0.72)), seg_logits=True)
    runs = [run(model, part) for part in separate(augmented())]
    probs = np.mean([[s.seg_logits.data.double().softmax(0).numpy() for s in samples] for samples in runs], axis=0)
    found = run(build(model), augmented())
    for one, mean in zip(found, probs, strict=True):
        ordered = np.sort(mean, axis=0)
        clear = ordered[-1] - ordered[-2] > 1e-5
        labels = one.pred_sem_seg.data.squeeze().numpy()
        assert clear.mean() > 0.99 and (labels == mean.argmax(0))[clear].all()
    assert {k for samples in runs for s in samples for k in s.cells.exit_stages.tolist()} == {0, 1}


@pytest.mark.parametrize('build', [mmseg_tta, CascadeSegTTA])
def test_a_cascade_that_nobody_goes_on_in_is_the_member_under_augmentation(build):
    member = member_of('fcn')
    expected = run(mmseg_tta(member), augmented())
    found = run(build(cascade(member, 'wide', CLOSED, seg_logits=True)), augmented())
    for one, other in zip(found, expected, strict=True):
        equal = one.pred_sem_seg.data.squeeze() == other.pred_sem_seg.data.squeeze()
        assert equal.float().mean() > 0.999  # both round the same mean in another way


def test_costs_of_all_augmentations_are_added_up():
    model = cascade('fcn', 'wide', window((None, 0.72)), seg_logits=True, confidence_map=True)
    data = augmented(1)
    truth = PixelData(data=torch.zeros(1, *SIZE, dtype=torch.int64))
    data['data_samples'][0][0].set_data({'gt_sem_seg': truth})
    runs = [run(model, part)[0] for part in separate(copy.deepcopy(data))]
    (found,) = run(CascadeSegTTA(model), data)
    assert found.macs == pytest.approx(sum(s.macs for s in runs))
    assert found.macs == pytest.approx(found.cells.macs.sum().item())
    assert found.reached == pytest.approx(np.mean([s.reached for s in runs], axis=0).tolist())
    assert found.mean_exit_stage == pytest.approx(np.mean([s.mean_exit_stage for s in runs]))
    assert found.nonfinite_cells == 0 and found.num_stages == 2 and found.img_path == 'x.png'
    assert found.cells.exit_stages.tolist() == np.max([s.cells.exit_stages.tolist() for s in runs], axis=0).tolist()
    torch.testing.assert_close(found.confidence_map.data, sum(s.confidence_map.data for s in runs) / 3)
    assert found.gt_sem_seg is not None and found.pred_sem_seg.shape == SIZE and 'seg_logits' not in found


def test_a_config_is_given_the_maps_that_it_needs():
    member = dict(model=member_of('fcn'))
    config = dict(type='mmcascade.CascadeSegmentor', members=dict(a=member), stages=[dict(member='a')])
    model = MODELS.build(dict(type='mmcascade.CascadeSegTTA', module=config))
    assert model.module.keeps_logits and model.module.out_channels == 5
    for wrong in (nn.Identity(), cascade('fcn', 'wide')):
        wrong.test_step = None
        with pytest.raises(ValueError, match='CascadeSegmentor with seg_logits=True'):
            CascadeSegTTA(wrong)
