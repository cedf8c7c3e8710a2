# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Exits in a bundle: a later graph goes on from what an earlier one left behind of the images that get there."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mmcascade.runtime import Bundle, BundleError, Engine
from tests.support.bundles import manifest, numbered_images

# Of each image, after each of three exits.
SCORES = np.log(
    np.array(
        [
            [[0.9, 0.05, 0.05], [0.5, 0.3, 0.2], [0.4, 0.3, 0.3], [0.4, 0.4, 0.2], [0.5, 0.3, 0.2]],
            [[0.1, 0.1, 0.8], [0.1, 0.85, 0.05], [0.6, 0.2, 0.2], [0.5, 0.3, 0.2], [0.05, 0.05, 0.9]],
            [[0.1, 0.1, 0.8], [0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.1, 0.7, 0.2], [0.8, 0.1, 0.1]],
        ],
        np.float32,
    )
)


def exit_graph(values, first, leaves):
    """From images, or what an exit left of them (their number, as a row and as a map), to scores, and to the latter."""
    nodes = []
    if first:
        inputs = [helper.make_tensor_value_info('images', TensorProto.UINT8, ['batch', 3, 'height', 'width'])]
        nodes += [
            helper.make_node('Cast', ['images'], ['floats'], to=TensorProto.FLOAT),
            helper.make_node('Slice', ['floats', 'starts', 'stops', 'axes'], ['pixel']),
            helper.make_node('Reshape', ['pixel', 'column'], ['number']),
            helper.make_node('Reshape', ['number', 'blocks'], ['block']),
            helper.make_node('Tile', ['block', 'times'], ['map']),
        ]
    else:
        inputs = [
            helper.make_tensor_value_info('state0', TensorProto.FLOAT, ['batch', 1]),
            helper.make_tensor_value_info('state1', TensorProto.FLOAT, ['batch', 2, 3]),
        ]
        nodes += [
            helper.make_node('Identity', ['state0'], ['number']),  # the last exit does not read it
            helper.make_node('Identity', ['state1'], ['map']),
        ]
    nodes += [
        helper.make_node('ReduceMax', ['map', 'last'], ['largest'], keepdims=0),
        helper.make_node('Cast', ['largest'], ['unit'], to=TensorProto.INT64),
        helper.make_node('Gather', ['table', 'unit'], ['values'], axis=0),
    ]
    outputs = [helper.make_tensor_value_info('values', TensorProto.FLOAT, ['batch', 3])]
    if leaves:
        nodes += [helper.make_node('Identity', ['number'], ['left0']), helper.make_node('Identity', ['map'], ['left1'])]
        outputs += [
            helper.make_tensor_value_info('left0', TensorProto.FLOAT, ['batch', 1]),
            helper.make_tensor_value_info('left1', TensorProto.FLOAT, ['batch', 2, 3]),
        ]
    numbers = {
        'starts': [0, 0, 0],
        'stops': [1, 1, 1],
        'axes': [1, 2, 3],
        'column': [-1, 1],
        'blocks': [-1, 1, 1],
        'times': [1, 2, 3],
        'last': [1, 2],
    }
    constants = [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in numbers.items()]
    graph = helper.make_graph(nodes, 'exit', inputs, outputs, [numpy_helper.from_array(values, 'table'), *constants])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 20)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def exits_manifest():
    data = manifest(3, 3, fusion='replace', policy={'type': 'window', 'windows': [[0.3, 0.6], [0.3, 0.7]]})
    for number, stage in enumerate(data['stages']):
        if number:
            stage['continues'] = number - 1
        if number < 2:
            stage['leaves'] = [[1], [2, 3]]
    return data


def write(folder, data):
    folder.mkdir(parents=True, exist_ok=True)
    for number, stage in enumerate(data['stages']):
        model = exit_graph(SCORES[number], number == 0, number < 2)
        stage['sha256'] = hashlib.sha256(model).hexdigest()
        (folder / stage['graph']).write_bytes(model)
    (folder / 'cascade.json').write_text(json.dumps(data))
    return folder


@pytest.mark.parametrize('engine', ['onnxruntime', 'openvino'])
@pytest.mark.parametrize('batch', [None, 2])
def test_survivors_go_on_from_what_was_left_behind_of_them(tmp_path, engine, batch):
    data = exits_manifest()
    for stage in data['stages']:
        stage['batch'] = batch
    bundle = Bundle(write(tmp_path, data), Engine(engine, threads=1))
    given = []
    for run in bundle._runs:
        original = run.go_on
        run.go_on = lambda inputs, original=original: given.append([x.copy() for x in inputs]) or original(inputs)
    decisions = bundle.decide(numbered_images(5))
    assert [d.exit_stage for d in decisions] == [0, 1, 2, 2, 1]
    assert [d.label for d in decisions] == [0, 1, 2, 1, 2]
    assert [d.macs for d in decisions] == [1, 11, 111, 111, 11]
    for decision, row in zip(decisions, range(5), strict=True):
        np.testing.assert_allclose(decision.probabilities, np.exp(SCORES[decision.exit_stage][row]), atol=1e-6)
    # No image is looked at again, and nothing of those that left is computed on.
    assert [[x.shape[1:] for x in inputs] for inputs in given] == [[(3, 4, 5)], [(1,), (2, 3)], [(1,), (2, 3)]]
    assert [inputs[0].ravel().tolist() for inputs in given[1:]] == [[1, 2, 3, 4], [2, 3]]


def test_exits_may_be_skipped_and_another_stage_may_stand_between(tmp_path):
    data = exits_manifest()
    data['stages'][1].pop('continues')
    data['stages'][2]['continues'] = 0
    folder = write(tmp_path, data)
    model = exit_graph(SCORES[1], True, True)
    (folder / data['stages'][1]['graph']).write_bytes(model)
    data['stages'][1]['sha256'] = hashlib.sha256(model).hexdigest()
    (folder / 'cascade.json').write_text(json.dumps(data))
    assert [d.label for d in Bundle(folder).decide(numbered_images(5))] == [0, 1, 2, 1, 2]


def test_images_of_several_sizes_are_refused_with_a_sentence(tmp_path):
    images = [np.full((size, 4, 3), index, np.uint8) for index, size in enumerate((5, 9))]
    with pytest.raises(BundleError, match='images of one size'):
        Bundle(write(tmp_path, exits_manifest())).decide(images)


@pytest.mark.parametrize(
    ('stage', 'changes', 'message'),
    [
        (0, dict(continues=0), 'continues is an earlier stage'),
        (1, dict(continues=1), 'continues is a whole number'),
        (1, dict(continues='0'), 'continues is a whole number'),
        (2, dict(continues=7), 'continues is a whole number'),
        (0, dict(leaves=None), 'continues is an earlier stage'),
        (0, dict(leaves=[[1], [2, 0]]), 'leaves is a list of shapes'),
        (0, dict(leaves=[[1], [1 << 20, 1 << 20]]), 'leaves is a list of shapes'),
        (0, dict(leaves=[[1]]), 'and 3 outputs, not one for images and 2'),
        (1, dict(continues=None), 'inputs state0, state1 and 3 outputs, not one for images'),
        (1, dict(leaves=[[1], [2, 4]]), 'promises'),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, stage, changes, message):
    data = exits_manifest()
    data['stages'][stage].update(changes)
    with pytest.raises(BundleError, match=message):
        Bundle(write(tmp_path, data)).decide(numbered_images(5))
