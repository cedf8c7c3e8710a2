# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""MMSegmentation's own test-time augmentation around a cascade."""

from __future__ import annotations

import pytest
import torch
from mmengine.registry import MODELS

from tests.test_models.member_kinds import tiny_segmentor

models = pytest.importorskip('mmseg.models')


# MMSegmentation's model gives labels without the dimension that MMEngine wants, which adds it with a word.
@pytest.mark.filterwarnings('ignore:The shape of value will convert:UserWarning')
def test_the_librarys_own_model_averages_a_cascade():
    from mmseg.structures import SegDataSample

    torch.manual_seed(0)
    member = MODELS.build(tiny_segmentor(pretrained=None)).eval()
    cascade = MODELS.build(
        dict(
            type='mmcascade.CascadeSegmentor',
            members=dict(a=member),
            seg_logits=True,
            stages=[dict(member='a')],
            grid=dict(cell=None),
        )
    )
    assert cascade.out_channels == 3
    image = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    meta = dict(ori_shape=(64, 64), img_shape=(64, 64), img_path='x.png')
    data = dict(
        inputs=[[image], [image.flip(-1)]],
        data_samples=[
            [SegDataSample(metainfo=meta | dict(flip=False))],
            [SegDataSample(metainfo=meta | dict(flip=True, flip_direction='horizontal'))],
        ],
    )
    (found,) = models.SegTTAModel(module=cascade).test_step(data)
    with torch.no_grad():
        inputs = member.data_preprocessor(dict(inputs=[image, image.flip(-1)], data_samples=None))['inputs']
        metas = [dict(meta, pad_shape=(64, 64), padding_size=[0] * 4)] * 2
        straight, mirrored = member.encode_decode(inputs, metas).softmax(1)
    expected = (straight + mirrored.flip(-1)).argmax(0)
    assert (found.pred_sem_seg.data == expected).float().mean() > 0.999
