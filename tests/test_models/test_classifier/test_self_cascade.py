# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One member in several stages: at several sizes, mirrored, and beside other members."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS as MM_MODELS
from torch.utils.flop_counter import FlopCounterMode

from mmcascade.calibration.fit.result.calibration_file import Calibration, CalibrationError
from mmcascade.calibration.stores.identity import CascadeIdentity, StageIdentity
from mmcascade.models.stages.views.device_view import resize_antialiased
from mmcascade.registry import MODELS
from tests.support.members.tiny_models import CLASSES, PREPROCESSOR, images, tiny
from tests.support.references.loop_cascade import loop_cascade

N = 16
SOURCE = images(N, 48, seed=5)
WINDOW = 'mmcascade.WindowPolicy'


@pytest.fixture(scope='module')
def members():
    return dict(resnet=tiny('resnet'), mobilenet=tiny('mobilenet', 1), vit=tiny('vit', 2))


def cascade(members, stages, windows=None, **options):
    policy = dict(type=WINDOW, windows=[(None, None)] * (len(stages) - 1) if windows is None else windows)
    used = {stage['member'] for stage in stages}
    return MODELS.build(
        dict(
            type='mmcascade.WindowCascadeClassifier',
            stages=stages,
            policy=policy,
            members={name: members[name] for name in used},
            **options,
        )
    )


def step(model, *views):
    return model.test_step(dict(inputs=list(views), data_samples=None))


@torch.no_grad()
def logits_of(member, view):
    return member(member.data_preprocessor(dict(inputs=view), False)['inputs']).numpy()


def softmax(z):
    return torch.from_numpy(z).softmax(1).numpy()


def scores(samples):
    return np.stack([sample.pred_score.numpy() for sample in samples])


@pytest.mark.parametrize('name', ['resnet', 'mobilenet', 'vit'])
@pytest.mark.parametrize(
    'first, second, images_of',
    [
        (dict(view=0), dict(view=1), lambda s: (resize_antialiased(s, (32, 32), 'bilinear'), s)),
        (
            dict(resize=32),
            dict(resize=(48, 40), flip=True),
            lambda s: (resize_antialiased(s, (32, 32)), resize_antialiased(s, (48, 40)).flip(-1)),
        ),
        (
            dict(resize=32, interpolation='bilinear'),
            dict(flip=True),
            lambda s: (resize_antialiased(s, (32, 32), 'bilinear'), s.flip(-1)),
        ),
    ],
)
def test_equals_the_mean_of_two_runs_of_the_member(members, name, first, second, images_of):
    a, b = images_of(SOURCE)
    views = (a, b) if 'view' in first else (SOURCE,)
    model = cascade(members, [dict(member=name, **first), dict(member=name, **second)])
    expected = (softmax(logits_of(members[name], a)) + softmax(logits_of(members[name], b))) / 2
    np.testing.assert_allclose(scores(step(model, *views)), expected, rtol=1e-4, atol=1e-6)


def test_routes_as_the_loop_beside_other_members(members):
    stages = [
        dict(member='resnet', resize=32),
        dict(member='resnet', flip=True),
        dict(member='mobilenet', resize=40),
        dict(member='resnet'),
    ]
    model = cascade(members, stages, [(0.3, 0.6), (None, 0.5), (None, None)])
    inputs = [resize_antialiased(SOURCE, (32, 32)), SOURCE.flip(-1), resize_antialiased(SOURCE, (40, 40)), SOURCE]
    logits = [logits_of(members[stage['member']], x) for stage, x in zip(stages, inputs, strict=True)]
    macs = [flops(members[stage['member']], x) / 2 for stage, x in zip(stages, inputs, strict=True)]
    expected = loop_cascade(logits, [(0.3, 0.6), (None, 0.5), (None, None)], macs=macs)
    samples = step(model, SOURCE)
    assert len({e['exit_stage'] for e in expected}) > 1
    assert [s.exit_stage for s in samples] == [e['exit_stage'] for e in expected]
    assert [s.macs for s in samples] == [e['macs'] for e in expected]
    np.testing.assert_allclose([s.confidence for s in samples], [e['confidence'] for e in expected], rtol=1e-4)


@torch.no_grad()
def flops(member, view):
    with FlopCounterMode(display=False) as counter:
        member(member.data_preprocessor(dict(inputs=view[:1]), False)['inputs'])
    return counter.get_total_flops()


def test_weights_are_held_once(members):
    stages = [dict(member='resnet', resize=size, flip=flip) for size in (32, 40) for flip in (False, True)]
    model = cascade(members, stages)
    own = {p.untyped_storage().data_ptr() for p in members['resnet'].parameters()}
    held = [p.untyped_storage().data_ptr() for p in model.parameters()]
    assert set(held) == own and len(held) == len(own)
    assert sum(v.numel() for v in model.state_dict().values()) == sum(
        v.numel() for v in members['resnet'].state_dict().values()
    )


def test_unread_views_are_never_made(members, monkeypatch):
    """Only the rows that go on are resized."""
    rows = []
    monkeypatch.setattr(
        'mmcascade.models.stages.views.device_view.resize_antialiased',
        lambda x, *args: rows.append(len(x)) or resize_antialiased(x, *args),
    )
    model = cascade(members, [dict(member='resnet'), dict(member='resnet', resize=32)], [None])
    step(model, SOURCE)
    assert rows == []


def fixed(backbone, channels):
    return MM_MODELS.build(
        dict(
            _scope_='mmpretrain',
            type='ImageClassifier',
            data_preprocessor=PREPROCESSOR,
            backbone=backbone,
            neck=dict(type='GlobalAveragePooling', dim=backbone.pop('pool', 2)),
            head=dict(type='LinearClsHead', num_classes=CLASSES, in_channels=channels),
        )
    ).eval()


def mixer():
    arch = dict(embed_dims=16, num_layers=1, tokens_mlp_dims=8, channels_mlp_dims=8)
    return fixed(dict(type='MlpMixer', arch=arch, img_size=32, patch_size=8, pool=1), 16)


def swin(**options):
    arch = dict(embed_dims=8, depths=[1, 1], num_heads=[1, 1])
    return fixed(dict(type='SwinTransformer', arch=arch, img_size=56, out_indices=(1,), **options), 16)


@pytest.mark.parametrize(
    'make, right, wrong, reason', [(mixer, 32, 40, 'AssertionError'), (swin, 56, 44, 'pad_small_map')]
)
def test_a_fixed_size_is_known_when_the_cascade_is_built(make, right, wrong, reason):
    own = dict(fixed=make())
    cascade(own, [dict(member='fixed', resize=right)])
    with pytest.raises(ValueError, match=rf"member 'fixed' fails on images of {wrong} x {wrong} pixels.*{reason}"):
        cascade(own, [dict(member='fixed', resize=wrong)])


def test_a_fixed_size_of_a_pipelines_view_is_known_before_any_stage_runs():
    own = dict(fixed=mixer(), resnet=tiny('resnet'))
    model = cascade(own, [dict(member='resnet', view=0), dict(member='fixed', view=1)], [None])
    runs = []
    own['resnet'].register_forward_pre_hook(lambda *_: runs.append(1))
    with pytest.raises(ValueError, match="member 'fixed' fails on images of 40 x 40 pixels"):
        step(model, images(2, 32), images(2, 40))
    assert runs == []


def test_swin_takes_other_sizes_when_it_pads():
    model = cascade(dict(swin=swin(pad_small_map=True)), [dict(member='swin', resize=44), dict(member='swin')])
    assert len(step(model, images(2, 56))) == 2


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(resize=0), r'resize of stage 1 is the side of a square or \(height, width\).* from 1, or None, got 0'),
        (dict(resize=(32, -1)), r'resize of stage 1 .* got \(32, -1\)'),
        (dict(resize='32'), "resize of stage 1 .* got '32'"),
        (dict(flip=1), 'flip of stage 1 is True or False, got 1'),
        (dict(interpolation='nearest'), "interpolation of stage 1 is one of .* got 'nearest'"),
    ],
)
def test_bad_views_are_refused_when_the_cascade_is_built(members, options, message):
    with pytest.raises(ValueError, match=message):
        cascade(members, [dict(member='resnet'), dict(member='resnet', **options)])


def test_a_view_that_no_pipeline_makes(members):
    model = cascade(members, [dict(member='resnet'), dict(member='resnet', view=2)])
    with pytest.raises(ValueError, match=r'stage 1 reads view 2, but the pipeline makes 2 view\(s\).*MultiView'):
        step(model, SOURCE, SOURCE)


def test_views_of_mixed_size(members):
    model = cascade(members, [dict(member='resnet')])
    with pytest.raises(ValueError, match='images of a view have different shapes.*one size in the data pipeline'):
        model.test_step(dict(inputs=[SOURCE[0], SOURCE[1, :, :40]], data_samples=None))


def test_enlarging_warns(members):
    model = cascade(members, [dict(member='resnet', resize=64)])
    with pytest.warns(UserWarning, match='enlarges a view of 48 x 48'):
        step(model, SOURCE)


STAGE = StageIdentity('resnet', 0, '')


def calibration(*stages):
    return Calibration(
        CascadeIdentity(stages, 'max_prob', 'prob'), [(0.2, 0.6)], 0.5, [1.0, 1.0], 'risk=0.05', 'safe', 0.1, [0.4], {}
    )


def test_stages_of_one_view_are_told_apart(members, tmp_path):
    small = StageIdentity('resnet', 0, '', '32x32 bicubic')
    calibration(small, STAGE).save(tmp_path / 'c.json')
    stages = [dict(member='resnet', resize=32), dict(member='resnet')]
    options = dict(
        type='mmcascade.WindowCascadeClassifier',
        members=dict(resnet=members['resnet']),
        calibration=str(tmp_path / 'c.json'),
    )
    model = MODELS.build(dict(options, stages=stages))
    assert model.identity(with_weights=False).stages == (small, STAGE)
    for other, words in (
        (dict(resize=40), 'view 0 at 32x32 bicubic and is .* at 40x40 bicubic'),
        (dict(resize=32, flip=True), 'at 32x32 bicubic mirrored'),
        (dict(resize=32, interpolation='bilinear'), 'at 32x32 bilinear'),
    ):
        with pytest.raises(CalibrationError, match=f'stage 0 was .*{words}'):
            MODELS.build(dict(options, stages=[dict(member='resnet', **other), stages[1]]))


def test_identities_from_before_resize_and_flip_are_still_read():
    old = dict(
        stages=[dict(member='resnet', view=0, weights='')], confidence='max_prob', fusion='prob', precision='float32'
    )
    assert CascadeIdentity.from_json(old).stages == (STAGE,)
    assert CascadeIdentity.from_json(old).to_json()['stages'] == old['stages']
    mirrored = CascadeIdentity((StageIdentity('resnet', 1, 'w', '8x8 bilinear', True),), 'max_prob', 'prob')
    assert CascadeIdentity.from_json(mirrored.to_json()) == mirrored
