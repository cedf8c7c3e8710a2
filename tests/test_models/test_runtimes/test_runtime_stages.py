# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Cascades whose members run in other runtimes: the same decisions, up to what lies on a bound."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmcascade import CascadeSegmentor, WindowCascadeClassifier, WindowPolicy
from mmcascade.models.runtimes.build import build_runtime
from mmcascade.models.runtimes.engines import engine_from
from mmcascade.models.runtimes.execution import Execution
from mmcascade.models.runtimes.networks.segmentor_network import HeadNetwork, HeadOutput
from tests.support.members import tiny_models, tiny_segmentors

pytestmark = pytest.mark.slow

pytest.importorskip('onnxscript')
ENGINES = ['onnxruntime', 'openvino']
ROUNDING = 1e-4


@pytest.fixture(scope='module')
def classifiers():
    return dict(small=tiny_models.tiny('resnet', spread=6.0), large=tiny_models.tiny('vit', 1, spread=6.0))


@pytest.fixture(scope='module')
def segmentors():
    return dict(small=tiny_segmentors.tiny('fcn'), large=tiny_segmentors.tiny('wide', 1))


def classifier(members, windows, runtimes, **options):
    stages = [dict(member=name, runtime=runtime) for name, runtime in zip(members, runtimes, strict=True)]
    stages[0].update(options)
    return WindowCascadeClassifier(members, stages=stages, policy=WindowPolicy(windows), accept=0.5)


def decided(model, images):
    with torch.no_grad():
        samples = model.forward([images], mode='predict')
    values = [(s.exit_stage, int(s.pred_label), s.confidence, s.get('accepted')) for s in samples]
    return [np.array(column) for column in zip(*values, strict=True)]


def first_scores(model, images):
    with torch.no_grad():
        return model.stages[0].forward(images).logits.softmax(1).max(1).values.numpy()


@pytest.mark.parametrize('engine', ENGINES)
@pytest.mark.parametrize('batch_size', [None, 4])
def test_what_classifiers_decide_otherwise_lies_on_a_bound(classifiers, engine, batch_size):
    images = tiny_models.images(60, seed=3)
    window = (0.4, 0.9)
    plain = classifier(classifiers, [window], ['torch', 'torch'])
    model = classifier(classifiers, [window], [engine, engine], batch_size=batch_size)
    ours, theirs = decided(model, images), decided(plain, images)
    scores = first_scores(plain, images)
    assert 0 < theirs[0].sum() < 60  # some go on, some do not
    near = np.min([abs(scores - bound) for bound in window], axis=0) <= ROUNDING
    assert not np.any((ours[0] != theirs[0]) & ~near)
    same = ours[0] == theirs[0]
    assert np.abs(ours[2] - theirs[2])[same].max() <= ROUNDING
    assert not np.any((ours[3] != theirs[3]) & same & (abs(theirs[2] - 0.5) > ROUNDING))
    assert same.sum() >= 55


@pytest.mark.parametrize('engine', ENGINES)
def test_a_score_that_is_a_bound_may_fall_on_either_side_and_only_that_one(classifiers, engine):
    images = tiny_models.images(40, seed=4)
    plain = classifier(classifiers, [None], ['torch', 'torch'])
    scores = first_scores(plain, images)
    at = float(np.sort(scores)[20])
    ours = decided(classifier(classifiers, [(at, None)], [engine, 'torch']), images)[0]
    sure = abs(scores - at) > ROUNDING
    np.testing.assert_array_equal(ours[sure], (scores >= at)[sure])
    assert (~sure).sum() >= 1


@pytest.mark.parametrize('engine', ENGINES)
@pytest.mark.parametrize('size', [(64, 96), (80, 64)])
@pytest.mark.parametrize('on, stride', [('image', 1), ('cell', 1), ('cell', 4)])
def test_what_segmentors_decide_otherwise_lies_on_a_bound(segmentors, engine, size, on, stride):
    window = (None, 0.7)

    def run(runtime):
        model = CascadeSegmentor(
            segmentors,
            stages=[dict(member='small', runtime=runtime), dict(member='large', runtime=runtime, on=on)],
            grid=dict(cell=32),
            policy=WindowPolicy([window]),
            confidence=dict(stride=stride),
        )
        with torch.no_grad():
            samples = model.test_step(tiny_segmentors.batch(2, *size))
        return [(s.cells.confidence, s.cells.exit_stages, s.pred_sem_seg.data) for s in samples]

    def alone(runtime):
        model = CascadeSegmentor(
            segmentors,
            stages=[dict(member='small', runtime=runtime), dict(member='large', runtime=runtime, on=on)],
            grid=dict(cell=32),
            policy=WindowPolicy([None]),
            confidence=dict(stride=stride),
        )
        with torch.no_grad():
            return [s.cells.confidence for s in model.test_step(tiny_segmentors.batch(2, *size))]

    for ours, theirs, first in zip(run(engine), run('torch'), alone('torch'), strict=True):
        same = np.asarray(ours[1]) == np.asarray(theirs[1])
        assert not np.any(~same & (np.abs(np.asarray(first) - window[1]) > ROUNDING))
        assert np.abs(np.asarray(ours[0]) - np.asarray(theirs[0]))[same].max() <= ROUNDING
        assert float((ours[2] != theirs[2]).float().mean()) <= 0.001


@pytest.mark.parametrize('engine', ENGINES)
@pytest.mark.parametrize('kind', ['divisor', 'segformer', 'slide', 'channels last'])
def test_with_a_stride_graphs_end_at_the_map_of_the_head(engine, kind):
    """Padding, and enlarging by the head's own rule, come after the graph; a member of windows has neither."""
    member, images = (
        tiny_segmentors.tiny('fcn' if kind == 'channels last' else kind),
        tiny_segmentors.image(50, 70)[None],
    )
    network = HeadNetwork(member)
    with torch.no_grad():
        expected = network(images)
        if kind == 'channels last':  # of which torch enlarges the map at once
            member.to(memory_format=torch.channels_last)
            assert network(images.to(memory_format=torch.channels_last)).logits.shape[-2:] == (50, 70)
        found = build_runtime(network, Execution(runtime=engine_from(engine)))(images)
    assert isinstance(found, HeadOutput) == (kind != 'slide') and found.logits.shape == expected.logits.shape
    torch.testing.assert_close(found.logits, expected.logits, atol=1e-4, rtol=1e-4)
    assert getattr(found, 'padding', None) == getattr(expected, 'padding', None)
    if kind == 'divisor':
        assert any(found.padding) and found.inputs > (50, 70)


def test_another_precision_is_another_stage_and_an_exact_runtime_is_the_same_one(classifiers):
    small = dict(small=classifiers['small'])

    def identity(runtime):
        model = WindowCascadeClassifier(small, stages=[dict(member='small', runtime=runtime)])
        return model.identity(with_weights=False)

    torch_, exact, fast = (identity(runtime) for runtime in ('torch', 'openvino', 'openvino:bfloat16'))
    assert torch_.differences(exact) == [] and exact.precision == 'float32 in openvino'
    assert torch_.stages == exact.stages and torch_.precision == 'float32'
    assert fast.differences(torch_) and fast.stages[0].source == 'small on view 0 in bfloat16 in openvino'
    assert 'arithmetic' not in torch_.stages[0].to_json()
    assert type(fast).from_json(fast.to_json()) == fast


def test_the_same_member_may_be_two_stages_of_different_precision(classifiers):
    images = tiny_models.images(20)
    model = WindowCascadeClassifier(
        dict(small=classifiers['small']),
        stages=[dict(member='small', runtime='openvino:bfloat16'), dict(member='small')],
        fusion='replace',
        policy=WindowPolicy([(None, 0.6)]),
    )
    exits = decided(model, images)[0]
    assert 0 < exits.sum() < 20
    alone = classifier(dict(small=classifiers['small']), [], ['torch'])
    went_on = exits == 1
    np.testing.assert_allclose(decided(model, images)[2][went_on], decided(alone, images)[2][went_on], atol=1e-5)


@pytest.mark.parametrize(
    'options, says',
    [
        (dict(runtime='tflite'), "'tflite'"),
        (dict(runtime='onnxruntime', amp='bfloat16'), "amp= is an option of torch, and member 'small'"),
        (dict(runtime='openvino', compile=True), "compile= is an option of torch, and member 'small'"),
    ],
)
def test_bad_stages_are_refused_when_the_cascade_is_built(classifiers, options, says):
    with pytest.raises(ValueError, match=says):
        WindowCascadeClassifier(dict(small=classifiers['small']), stages=[dict(member='small', **options)])


def test_a_confidence_that_reads_features_is_refused_when_the_cascade_is_built(classifiers):
    from mmcascade.models.parts.cascade_parts import build_stages
    from mmcascade.models.runtimes.networks.features import feature_output

    members = torch.nn.ModuleDict(dict(small=classifiers['small']))
    with pytest.raises(ValueError, match='reads features'):
        build_stages(members, [dict(member='small', runtime='onnxruntime')], feature_output)
