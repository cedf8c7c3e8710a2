# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Bundles without networks: graphs that look a score up by the first pixel, and the cascade.json around them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


def lookup_graph(values: NDArray[np.float32]) -> bytes:
    """An ONNX graph from uint8 ``(N, 3, H, W)`` to the rows of ``values`` that their first pixels name."""
    nodes = [
        helper.make_node('Cast', ['images'], ['whole'], to=TensorProto.INT64),
        helper.make_node('Gather', ['whole', 'zero'], ['by_row'], axis=3),
        helper.make_node('Gather', ['by_row', 'zero'], ['pixel'], axis=2),
        helper.make_node('Gather', ['pixel', 'zero'], ['unit'], axis=1),
        helper.make_node('Gather', ['table', 'unit'], ['values'], axis=0),
    ]
    graph = helper.make_graph(
        nodes,
        'lookup',
        [helper.make_tensor_value_info('images', TensorProto.UINT8, ['batch', 3, 'height', 'width'])],
        [helper.make_tensor_value_info('values', TensorProto.FLOAT, ['batch', values.shape[1]])],
        [numpy_helper.from_array(values, 'table'), numpy_helper.from_array(np.array(0, np.int64), 'zero')],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 20)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def manifest(stages: int = 2, num_classes: int = 3, **changes: Any) -> dict[str, Any]:
    """A cascade.json of lookup graphs; every stage sees the pixels as they are."""
    return {
        'schema': 1,
        'task': 'classification',
        'num_classes': num_classes,
        'classes': [f'class {index}' for index in range(num_classes)],
        'views': [{'channels': 'rgb', 'steps': []}],
        'stages': [
            {
                'member': f'member{index}',
                'graph': f'member{index}.onnx',
                'sha256': '0' * 64,
                'view': 0,
                'output': 'logits',
                'temperature': 1.0,
                'macs': 10.0**index,
            }
            for index in range(stages)
        ],
        'fusion': 'prob',
        'confidence': 'max_prob',
        'policy': {'type': 'window', 'windows': [[0.3, 0.8]] * (stages - 1)},
        'maps': None,
        'accept': 0.5,
    } | changes


def write_bundle(folder: Path, scores: list[NDArray[np.float32]], **changes: Any) -> Path:
    """A bundle whose stages give stored scores; image i is one whose first pixel is i."""
    data = manifest(len(scores), scores[0].shape[1], **changes)
    folder.mkdir(parents=True, exist_ok=True)
    for stage, values in zip(data['stages'], scores, strict=True):
        model = lookup_graph(values)
        stage['sha256'] = hashlib.sha256(model).hexdigest()
        (folder / stage['graph']).write_bytes(model)
    (folder / 'cascade.json').write_text(json.dumps(data))
    return folder


def numbered_images(count: int, size: tuple[int, int] = (4, 5)) -> list[NDArray[np.uint8]]:
    """Images that lookup graphs tell apart."""
    return [np.full((*size, 3), index, np.uint8) for index in range(count)]


def scaled_graph(size: tuple[int, int], factor: float) -> bytes:
    """An ONNX graph from uint8 ``(N, 3, H, W)`` to logits of three classes: the channels times a factor."""
    graph = helper.make_graph(
        [
            helper.make_node('Cast', ['images'], ['floats'], to=TensorProto.FLOAT),
            helper.make_node('Mul', ['floats', 'factor'], ['values']),
        ],
        'scaled',
        [helper.make_tensor_value_info('images', TensorProto.UINT8, ['batch', 3, *size])],
        [helper.make_tensor_value_info('values', TensorProto.FLOAT, ['batch', 3, *size])],
        [numpy_helper.from_array(np.array(factor, np.float32), 'factor')],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 20)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def write_segmentation_bundle(folder: Path, size: tuple[int, int] = (64, 96), **changes: Any) -> Path:
    """A bundle that takes red, green and blue for classes, in cells of 32 pixels; the second stage is the surer one."""
    data = manifest(2, 3, accept_cells=0.8, grid={'cell': [32, 32], 'margin': 0}, **changes)
    data['task'] = 'segmentation'
    data['policy'] = {'type': 'window', 'windows': [[None, 0.8]]}
    data['cells'] = {'reduce': 'mean', 't_unk': None, 'empty': 'exit', 'stride': 1}
    folder.mkdir(parents=True, exist_ok=True)
    for stage, factor in zip(data['stages'], (1 / 60, 1 / 20), strict=True):
        model = scaled_graph(size, factor)
        (folder / stage['graph']).write_bytes(model)
        sized = {'graph': stage.pop('graph'), 'sha256': hashlib.sha256(model).hexdigest(), 'size': size, 'seen': size}
        stage.pop('sha256')
        stage.update(on='image', align_corners=False, graphs=[sized | {'macs': stage['macs']}])
    (folder / 'cascade.json').write_text(json.dumps(data))
    return folder
