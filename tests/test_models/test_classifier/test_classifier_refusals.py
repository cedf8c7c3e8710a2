# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a cascade of classifiers refuses, when it is built and when it is tested."""

from __future__ import annotations

import numpy as np
import pytest
from mmpretrain.structures import DataSample

from mmcascade.registry import MODELS
from mmcascade.routing import WindowPolicy
from tests.test_models.test_classifier.cascades import STAGES, N, cascade, step

RESNET = [dict(member='resnet')]


@pytest.mark.parametrize(
    'stages, options, message',
    [
        ([dict(member='resnett')], {}, r"stage 0 names member 'resnett'; expected one of \['resnet'\]"),
        ([dict(view=0)], {}, 'stage 0 names member None'),
        ([dict(member='resnet', view=-1)], {}, 'view of stage 0 is a view index >= 0, got -1'),
        (
            [dict(member='resnet', batch_size=0)],
            {},
            "batch_size of stage 0 is a whole number >= 1, 'auto' or None, got 0",
        ),
        ([dict(member='resnet', temperature=0)], {}, 'temperature of stage 0 is a number > 0, got 0'),
        ([dict(member='resnet', macs=-1.0)], {}, 'macs of stage 0'),
        ([dict(member='resnet', scale=2)], {}, "stage 0 has the unknown key 'scale'"),
        (RESNET * 3, dict(windows=[(0, 1)]), '3 stages have 2 gaps.*decides 1'),
        (RESNET * 2, dict(windows=[(0.5, 0.1)]), 'low > high'),
        (RESNET * 2, dict(windows=[(float('nan'), 1)]), 'got nan'),
        (RESNET, dict(accept='0.5'), "accept is the lowest confidence.*got '0.5'"),
        (RESNET, dict(accept=float('nan')), 'got nan'),
        (RESNET, dict(accept=-float('inf')), 'finite number or None, got -inf'),
        (RESNET, dict(confidence='softmax'), "unknown confidence 'softmax'"),
        (RESNET, dict(fusion='sum'), "unknown fusion 'sum'"),
        ([], {}, 'at least one stage'),
    ],
)
def test_bad_configs_are_refused_at_build_time(members, stages, options, message):
    options = dict(options)
    windows = options.pop('windows', None)
    if windows is not None:
        options['policy'] = dict(type='mmcascade.WindowPolicy', windows=windows)
    with pytest.raises(ValueError, match=message):
        MODELS.build(
            dict(
                type='mmcascade.WindowCascadeClassifier',
                stages=stages,
                members=dict(resnet=members['resnet']),
                **options,
            )
        )


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(policy=[(0.2, 0.4)]), r'policy is a config such as.*got \[\(0.2, 0.4\)\]'),
        (dict(stages=dict(member='resnet')), 'stages is a list such as'),
        (dict(stages=['resnet']), "stage 0 is a dict such as.*got 'resnet'"),
        (dict(members=['resnet']), r"members is a dict of name.*got \['resnet'\]"),
    ],
)
def test_wrong_types_are_named(members, options, message):
    config = dict(type='mmcascade.WindowCascadeClassifier', stages=RESNET, members=dict(resnet=members['resnet']))
    with pytest.raises(TypeError, match=message):
        MODELS.build({**config, **options})


def test_numpy_numbers_are_numbers(members, views):
    model = cascade(members, RESNET * 2, np.array([[0.2, 0.4]], dtype=np.float32).tolist(), accept=np.float32(0.5))
    assert model.accept == 0.5
    WindowPolicy([(np.float32(0.2), np.float64(0.4))])


def test_bad_members_are_refused_at_build_time(members):
    with pytest.raises(ValueError, match="member 'resnet' is a dict with model="):
        cascade(dict(resnet=dict(checkpoint='x.pth')), RESNET)
    with pytest.warns(UserWarning, match=r"\['vit'\] are loaded but no stage uses them"):
        MODELS.build(
            dict(
                type='mmcascade.WindowCascadeClassifier',
                stages=RESNET,
                members=dict(resnet=members['resnet'], vit=members['vit']),
            )
        )


def test_without_a_policy_it_builds_and_refuses_to_test(members, views):
    model = cascade(members, STAGES[:3])
    with pytest.raises(RuntimeError, match=r'no exit policy.*2 window\(s\)'):
        step(model, views)


def test_missing_view(members, views):
    model = cascade(members, STAGES[:2], [None])
    with pytest.raises(ValueError, match='stage 1 reads view 1, but the pipeline makes 1'):
        step(model, views[:1])


def test_random_policy_needs_the_index_of_each_image(members, views):
    model = cascade(members, STAGES[:2], policy=dict(type='mmcascade.RandomPolicy', rates=[0.5]))
    assert len({r.exit_stage for r in step(model, views)}) == 2
    with pytest.raises(ValueError, match="RandomPolicy.*no 'sample_idx'"):
        step(model, views, [DataSample() for _ in range(N)])
    with pytest.raises(ValueError, match="no 'sample_idx'"):
        model(views)
