# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What every kind of stage promises to the router and to everybody else, as one battery."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from mmcascade.models.cells.grid import Grid
from mmcascade.models.cells.tiled_image import TiledImage
from mmcascade.models.runtimes.runtime import Runtime
from mmcascade.models.stages.stage import MemberStage, StageOptions
from mmcascade.registry import MODELS
from mmcascade.routing import StageOutput, UnitBatch, ViewRows
from tests.support.members import tiny_segmentors
from tests.support.members.tiny_models import images, tiny


def classifier(**options):
    model = MODELS.build(
        dict(
            type='mmcascade.WindowCascadeClassifier',
            members=dict(a=tiny('resnet')),
            stages=[dict(member='a', **options)],
        )
    )
    return model.stages[0], ViewRows([images(3)])


def segmentor(**options):
    where = dict(on=options.pop('on', 'image'))
    model = MODELS.build(
        dict(
            type='mmcascade.CascadeSegmentor',
            members=dict(a=tiny_segmentors.tiny('fcn')),
            grid=dict(cell=32),
            stages=[dict(member='a'), dict(member='a', **where, **options)],
        )
    )
    return model.stages[1], TiledImage(tiny_segmentors.image(64, 96), Grid((64, 96), (32, 32)))


KINDS = {
    'view': classifier,
    'resized': lambda **options: classifier(resize=24, flip=True, **options),
    'image': segmentor,
    'cell': lambda **options: segmentor(on='cell', **options),
    'half': lambda **options: segmentor(scale=0.5, **options),
}


@pytest.fixture(params=KINDS)
def build(request):
    return KINDS[request.param]


def run(stage, source):
    return stage(UnitBatch.submitted(source, np.arange(len(source)), 0))


@torch.no_grad()
def test_gives_a_row_for_every_unit_and_charges_what_was_counted(build):
    stage, source = build()
    assert isinstance(stage, MemberStage) and not stage.macs_by_shape
    batch = UnitBatch.submitted(source, np.arange(len(source)), 0)
    seen = stage.images_of(batch)
    output = run(stage, source)
    assert isinstance(output, StageOutput) and len(output.values) == len(source)
    assert output.source == stage.source == stage.identity('weights').source
    macs = stage.counted(seen)
    assert stage.macs_by_shape == {tuple(seen.shape[1:]): macs}
    charged = torch.as_tensor(output.macs).double().expand(len(source)).sum()
    assert charged == pytest.approx(macs * len(seen))
    (probe,) = stage.probes([source])
    assert probe.shape == (1, *seen.shape[1:]) and probe.dtype == seen.dtype


@torch.no_grad()
def test_given_costs_win_and_are_not_counted(build):
    stage, source = build(macs=7.0)
    stage.settle([source])
    output = run(stage, source)
    assert set(stage.macs_by_shape.values()) == {7.0} and stage.macs_of(torch.empty(1, 3, 9, 9)) == 7.0
    assert torch.as_tensor(output.macs).max() <= 7.0


@torch.no_grad()
def test_the_member_runs_through_forward_and_the_runtime(build):
    stage, source = build(batch_size=5)
    seen, real = [], stage.runtime

    class Noted(Runtime):
        def run(self, images, full):
            seen.append((tuple(images.shape), full))
            return real(images, full)

    expected = run(stage, source)
    stage.runtime = Noted(stage.network, stage.execution)
    assert torch.equal(run(stage, source).values, expected.values)
    assert [full for _, full in seen] == [5]


@torch.no_grad()
def test_alone_it_runs_on_whole_images(build):
    stage, source = build(batch_size=2)
    alone = stage.alone()
    assert alone.on == 'image' and alone.member == stage.member and alone.network is stage.network
    assert (alone is stage) == (stage.on == 'image')
    assert len(run(alone, source).values) == len(source)
    assert stage.batch_size == 2 and (alone is stage or not stage.macs_by_shape)


def test_says_what_it_runs_on(build):
    stage, _ = build()
    assert stage.describe() in ('0', '0 mirrored', 'image', 'cell', 'image at 0.5')
    assert stage.view == 0 and stage.views == (0,) and stage.device == torch.device('cpu')


def test_auto_is_settled_once(build, monkeypatch):
    calls = []

    def fake(runtime, row, device):
        calls.append((tuple(row.shape), row.dtype))
        return 4

    monkeypatch.setattr('mmcascade.models.stages.stage.settled_size', fake)
    stage, source = build(batch_size='auto')
    assert stage.batch_size is None
    stage.settle([])
    assert stage.batch_size is None and not calls
    for _ in range(2):
        stage.settle([source])
    (probe,) = stage.probes([source])
    assert stage.batch_size == 4 and calls == [(tuple(probe.shape[1:]), torch.uint8)]


def test_a_size_that_the_member_does_not_take_is_named_before_the_test(build):
    stage, source = build()

    def fail(x):
        raise RuntimeError('too small\nmore')

    stage.counter.by_shape.clear()
    stage.network.module.backbone.forward = fail  # hooks sleep while multiply-adds are counted
    what = 'crops' if stage.on == 'cell' else 'images'
    message = rf"member 'a' fails on {what} of \d+ x \d+ pixels \(RuntimeError: too small\)\. "
    with pytest.raises(ValueError, match=message):
        stage.settle([source])


def test_a_copied_cascade_runs_its_own_weights():
    stage, source = classifier()
    other = copy.deepcopy(stage)
    torch.nn.init.zeros_(other.network.module.head.fc.weight)
    torch.nn.init.zeros_(other.network.module.head.fc.bias)
    with torch.no_grad():
        assert not run(other, source).values.any() and run(stage, source).values.any()


def test_an_incomplete_kind_of_stage_cannot_be_made():
    with pytest.raises(TypeError, match='describe.*identity.*images_of.*placed.*probes'):
        MemberStage('a', None, None, StageOptions())


def test_options_are_split_from_those_of_a_kind():
    options, others = StageOptions.split(dict(batch_size=3, amp='float16', scale=2, compile=True))
    assert (options.batch_size, options.macs, options.temperature) == (3, None, 1.0)
    assert options.execution.amp == 'float16' and options.execution.compile is True
    assert others == dict(scale=2)
