# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Cascades of two tiny members, and one step of them."""

from __future__ import annotations

from mmpretrain.structures import DataSample

from mmcascade.registry import MODELS
from tests.support.members.tiny_models import CLASSES

SIZES = (32, 40, 32)


N = 24


STAGES = [
    dict(member='resnet', view=0),
    dict(member='mobilenet', view=1),
    dict(member='vit', view=2),
    dict(member='other', view=1),
]


def cascade(members, stages, windows=None, **options):
    if windows is not None:
        options['policy'] = dict(type='mmcascade.WindowPolicy', windows=windows)
    used = {stage['member'] for stage in stages}
    return MODELS.build(
        dict(
            type='mmcascade.WindowCascadeClassifier',
            stages=stages,
            members={k: v for k, v in members.items() if k in used},
            **options,
        )
    )


def samples(n=N):
    return [DataSample(metainfo=dict(sample_idx=i)).set_gt_label(i % CLASSES) for i in range(n)]


def step(model, views, data_samples=None):
    return model.test_step(dict(inputs=list(views), data_samples=data_samples or samples(len(views[0]))))
