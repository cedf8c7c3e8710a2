# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""CascadeSegmentor: what is refused, and with which words."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import ConfigDict

from mmcascade.registry import MODELS
from tests.support.members.tiny_segmentors import TINY, batch
from tests.test_models.segmentor_cascades import (
    cascade,
    member_of,
    run,
    window,
)


def classifier():
    from mmpretrain.registry import MODELS as CLASSIFIERS

    from tests.support.members.tiny_models import TINY as CLASSIFIER_CONFIGS

    return CLASSIFIERS.build(ConfigDict(CLASSIFIER_CONFIGS['resnet']))


def named(kind, tmp_path, seed=0, **meta):
    """The spec of a member whose checkpoint knows classes or colours."""
    path = tmp_path / f'{seed}.pth'
    torch.save(dict(state_dict=member_of(kind, seed).state_dict(), meta=dict(dataset_meta=meta)), path)
    return dict(model=dict(_scope_='mmseg', **TINY[kind]), checkpoint=str(path))


BAD = [
    (dict(cell=0), 'cell is the side of a square.*got 0'),
    (dict(cell=-32), 'got -32'),
    (dict(cell=32.0), r'got 32\.0'),
    (dict(cell=True), 'got True'),
    (dict(cell=(32, 0)), r'got \(32, 0\)'),
    (dict(cell=[32, 32, 32]), 'whole pixels from 1, or None'),
    (dict(cell='32'), "got '32'"),
    (dict(margin=-1), 'margin is the context around a crop in whole pixels from 0, got -1'),
    (dict(margin=1.5), r'margin.*got 1\.5'),
    (dict(margin=33), 'a margin of 33 pixels around cells of 32 x 32.*margin= smaller'),
    (dict(cell=None, margin=4), 'nothing around it; leave margin=4 out'),
    (dict(cell=4), "a cell of 4 x 4 pixels at scale 1 is smaller than the stride 8.*member 'b' in stage 1"),
    (dict(stages=[dict(member='a'), dict(member='b', scale=0.125)]), 'at scale 0.125 is smaller than the stride 8'),
    (dict(b='few'), r"'a' \(5 classes\) and 'b' \(3 classes\) cannot share a cascade"),
    (dict(b='binary'), "member 'b'.*single sigmoid output; train it with num_classes=2 and out_channels=2"),
    (dict(b='fixed'), "member 'b' fails on crops of 32 x 32 pixels.*fixed size.*on='image'"),
    (dict(stages=[dict(member='a', on='cell'), dict(member='b')]), "stage 0 labels the whole image.*on='cell'"),
    (dict(stages=[dict(member='a'), dict(member='b', on='cells')]), "on of stage 1 is one of.*got 'cells'"),
    (dict(stages=[dict(member='a'), dict(member='b', on=['cell'])]), r"on of stage 1 is one of.*got \['cell'\]"),
    (dict(stages=[dict(member='a'), dict(member='b', scale=0)]), 'scale of stage 1 is a factor > 0, at most 8, got 0'),
    (dict(stages=[dict(member='a'), dict(member='b', scale=float('nan'))]), 'scale of stage 1.*got nan'),
    (dict(stages=[dict(member='a'), dict(member='b', margin=4)]), "stage 1 has the unknown key 'margin'"),
    (dict(stages=[dict(member='a'), dict(member='c')]), r"stage 1 names member 'c'; expected one of \['a', 'b'\]"),
    (dict(stages=[]), 'at least one stage'),
    (dict(confidence=dict(type='mmcascade.CellConfidence', t_unk=2)), 't_unk is a probability'),
    (dict(confidence='msp'), "unknown confidence 'msp'"),
    (dict(fusion='mean'), "unknown fusion 'mean'"),
    (dict(policy=window(None, None)), '2 stages have 1 gaps'),
]


@pytest.mark.parametrize('options, message', BAD, ids=lambda x: str(x)[:60])
def test_bad_configs(options, message):
    with pytest.raises(ValueError, match=message):
        cascade(**(dict(a='fcn', b='wide') | options))


def test_bad_members(tmp_path):
    with pytest.raises(ValueError, match="member 'b'.*ImageClassifier labels no pixels.*EncoderDecoder"):
        cascade('fcn', classifier())
    with pytest.raises(ValueError, match="'a' and 'b' name class 1 differently: 'b' and 'x'"):
        cascade(named('fcn', tmp_path, classes=tuple('abcde')), named('fcn', tmp_path, 1, classes=tuple('axcde')))
    with pytest.raises(ValueError, match="'a' and 'b' were trained with different palettes"):
        cascade(
            named('fcn', tmp_path, palette=[[k, 0, 0] for k in range(5)]),
            named('fcn', tmp_path, 1, palette=[[0, k, 0] for k in range(5)]),
        )
    model = cascade(named('fcn', tmp_path, classes=tuple('abcde'), palette=[[k, 0, 0] for k in range(5)]), 'wide')
    assert model.dataset_meta['classes'] == tuple('abcde') and len(model.dataset_meta['palette']) == 5
    with pytest.raises(ValueError, match="grid is a dict with cell= and margin=, got {'size': 32}"):
        MODELS.build(
            dict(
                type='mmcascade.CascadeSegmentor',
                members=dict(a=member_of('fcn')),
                stages=[dict(member='a')],
                grid=dict(size=32),
            )
        )
    with pytest.raises(TypeError, match='confidence is a name such as'):
        cascade('fcn', 'wide', confidence=0.5)


def test_a_member_of_fixed_size_may_run_on_images():
    model = cascade('fcn', 'fixed', stages=[dict(member='a'), dict(member='b', on='image')])
    assert run(model, batch())[0].mean_exit_stage == 1
    with pytest.raises(ValueError, match="member 'b' fails on images of 64 x 128 pixels.*change scale="):
        run(model, batch(1, 64, 128))


def test_bad_batches():
    model = cascade('fcn', 'wide')
    with pytest.raises(ValueError, match="mirrored 'diagonal'.*'horizontal' and 'vertical' only"):
        run(model, batch(flip='diagonal'))
    with pytest.raises(RuntimeError, match='this cascade of 2 stages has no exit policy.*1 window'):
        run(cascade('fcn', 'wide', policy=None), batch())
    assert run(model, batch()), 'nothing stays behind after an error'
