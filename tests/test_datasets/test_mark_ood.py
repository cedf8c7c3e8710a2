# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest
from mmengine.dataset import default_collate
from mmpretrain.registry import TRANSFORMS as MMPRETRAIN_TRANSFORMS

from mmcascade.registry import TRANSFORMS

PACK = dict(type='PackInputs', algorithm_keys=('ood', 'dataset'))


def pack(marked, **info):
    results = dict(img=np.zeros((4, 4, 3), np.uint8), **info)
    if marked:
        results = MMPRETRAIN_TRANSFORMS.build(dict(type='mmcascade.MarkOOD', name='digits'))(results)
    return MMPRETRAIN_TRANSFORMS.build(PACK)(results)


def test_marks_survive_packing_and_collating_beside_unmarked_images():
    batch = default_collate([pack(False, gt_label=2), pack(True), pack(True, gt_label=1)])
    inside, outside, relabelled = batch['data_samples']
    assert 'ood' not in inside and 'dataset' not in inside
    assert int(inside.gt_label) == 2
    for sample in (outside, relabelled):
        assert sample.ood is True
        assert sample.dataset == 'digits'
        assert sample.gt_label.tolist() == [-1]


@pytest.mark.parametrize('name', ['', 'id', 'all', 'a/b', None, 3])
def test_names_become_keys(name):
    with pytest.raises(ValueError, match='name= of MarkOOD becomes a part of metric keys'):
        TRANSFORMS.build(dict(type='mmcascade.MarkOOD', name=name))
