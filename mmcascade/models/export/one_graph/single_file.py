# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A whole cascade as one ONNX graph, in which ``If`` leaves out the members that nobody needs.

Its inputs are the views (raw images ``(N, C, H, W)`` of 8 bits, one input per view) and ``bounds`` ``(gaps, 2)``, the
ends of each window, infinite where open; ``[nan, nan]`` closes a gap. Its outputs are ``probabilities``
``(N, classes)``, ``confidence`` ``(N)`` and ``exit_stage`` ``(N)``. Every view has to be made for every image: a
bundle makes later ones for survivors only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, compose, helper

from mmcascade._system.files import write_bytes
from mmcascade.models.export.one_graph.decision_nodes import State, fuse, goes_on
from mmcascade.models.export.one_graph.nodes import Nodes
from mmcascade.runtime import Bundle, BundleError
from mmcascade.runtime.decision.policies import Policy, Thresholds, Windows
from mmcascade.runtime.description.manifest import Manifest
from mmcascade.runtime.preprocessing.images import ImageLike, read_image

NAME = 'cascade.onnx'
_CHUNK = 32


def single_file(manifest: Manifest, folder: Path) -> onnx.ModelProto:
    """One graph for the cascade of a bundle.

    Args:
        manifest: of the bundle.
        folder: where its graphs are.

    Raises:
        ValueError: if the cascade draws at random, maps scores, or has a graph that holds at one batch size only.
    """
    _check(manifest)
    models = [onnx.load(folder / stage.graph) for stage in manifest.stages]
    root = Nodes('')
    views = sorted({stage.view for stage in manifest.stages})
    output = _stage(root, manifest, models, 0, None, None)
    names = {'probabilities': output[0], 'confidence': output[1], 'exit_stage': output[2]}
    for name, source in names.items():
        root.nodes.append(helper.make_node('Identity', [source], [name]))
    inputs = [_image_input(models, manifest, view) for view in views]
    if gaps := len(manifest.stages) - 1:
        inputs.append(helper.make_tensor_value_info('bounds', TensorProto.FLOAT, [gaps, 2]))
    graph = helper.make_graph(
        root.nodes,
        'cascade',
        inputs,
        [
            helper.make_tensor_value_info('probabilities', TensorProto.FLOAT, ['images', manifest.num_classes]),
            helper.make_tensor_value_info('confidence', TensorProto.FLOAT, ['images']),
            helper.make_tensor_value_info('exit_stage', TensorProto.INT64, ['images']),
        ],
        root.initializers,
    )
    opsets = {opset.domain: opset.version for model in models for opset in model.opset_import}
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in opsets.items()],
        ir_version=max(model.ir_version for model in models),
        functions=[function for model in models for function in model.functions],
    )
    onnx.checker.check_model(model)
    return model


def write_single_file(bundle: Bundle, images: Sequence[ImageLike], tolerance: float = 1e-4) -> float:
    """Write a bundle's cascade as one graph, ``cascade.onnx`` in its folder, once it decides as the bundle does.

    Args:
        bundle: in its folder.
        images: to compare on.
        tolerance: how far probabilities may be, and how near to a bound a score that falls on the other side.

    Returns:
        The largest difference of a probability.

    Raises:
        ValueError: if the cascade holds what a single file cannot.
        BundleError: if the graph decides otherwise.
    """
    manifest = bundle.manifest
    model = single_file(manifest, bundle.folder).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=['CPUExecutionProvider'])
    given = {value.name for value in session.get_inputs()}
    bounds = bounds_of(manifest.policy, len(manifest.stages) - 1)
    largest = 0.0
    for start in range(0, len(images), _CHUNK):
        part = images[start : start + _CHUNK]
        pixels = [read_image(image) for image in part]
        inputs = {f'view{index}': np.stack([view(x) for x in pixels]) for index, view in enumerate(manifest.views)}
        inputs = {name: value for name, value in {**inputs, 'bounds': bounds}.items() if name in given}
        probs, _, exits = session.run(['probabilities', 'confidence', 'exit_stage'], inputs)
        for row, decision in enumerate(bundle.decide(part)):
            if exits[row] != decision.exit_stage:
                if decision.margin > tolerance:
                    raise BundleError(f'the single file decides otherwise on image {start + row}; take the bundle')
                continue
            largest = max(largest, float(np.abs(probs[row] - decision.probabilities).max()))
    if largest > tolerance:
        raise BundleError(f'probabilities of the single file are off by {largest:.1e}; take the bundle')
    write_bytes(bundle.folder / NAME, model)
    return largest


def bounds_of(policy: Policy, gaps: int) -> np.ndarray:
    """The input ``bounds`` that stands for a policy, float32 ``(gaps, 2)``.

    Raises:
        ValueError: on a policy without bounds.
    """
    if isinstance(policy, Windows):
        windows = policy.windows
    elif isinstance(policy, Thresholds):
        windows = tuple(None if t is None else (None, t) for t in policy.thresholds)
    else:
        raise ValueError(f'{type(policy).__name__} has no bounds, and a single file needs some')
    rows = np.full((gaps, 2), np.nan, np.float32)
    for row, window in zip(rows, windows, strict=True):
        if window is not None:
            row[:] = [-np.inf if window[0] is None else window[0], np.inf if window[1] is None else window[1]]
    return rows


def _check(manifest: Manifest) -> None:
    bounds_of(manifest.policy, len(manifest.stages) - 1)
    if any(stage.continues is not None for stage in manifest.stages):
        raise ValueError(
            'a single file holds whole networks, and exits of this cascade go on from each other; take the bundle, '
            'which has a graph for each step'
        )
    if any(exit_map is not None for exit_map in manifest.maps):
        raise ValueError('a single file gives raw scores; this cascade maps them, so take the bundle')
    fixed = [stage.member for stage in manifest.stages if stage.batch is not None]
    if fixed:
        raise ValueError(f'the graph of {fixed[0]!r} holds at one batch size only, so take the bundle, which pads')


def _image_input(models: Sequence[onnx.ModelProto], manifest: Manifest, view: int) -> onnx.ValueInfoProto:
    model = next(m for m, stage in zip(models, manifest.stages, strict=True) if stage.view == view)
    sizes = model.graph.input[0].type.tensor_type.shape.dim
    shape = [size.dim_value or size.dim_param for size in sizes][1:]
    kind = model.graph.input[0].type.tensor_type.elem_type
    return helper.make_tensor_value_info(f'view{view}', kind, ['images', *shape])


def _stage(
    nodes: Nodes,
    manifest: Manifest,
    models: Sequence[onnx.ModelProto],
    index: int,
    rows: str | None,
    before: State | None,
) -> tuple[str, str, str]:
    """A stage and all that may follow it, for some rows of the views; probabilities, confidence, exit stage."""
    stage = manifest.stages[index]
    images = f'view{stage.view}' if rows is None else nodes('Gather', f'view{stage.view}', rows, axis=0)
    values = _member(nodes, models[index], f'stage{index}.', images)
    state, fused, confidence = fuse(nodes, manifest, index, values, before)
    count = nodes('Shape', confidence)
    one = nodes.constant([index], np.int64)
    exits = nodes('Expand', one, count)
    if index == len(manifest.stages) - 1:
        return fused, confidence, exits
    going = goes_on(nodes, index, confidence, state.finite)
    inner = Nodes(f'gap{index}.')
    chosen = inner('Squeeze', inner('NonZero', going), inner.constant([0], np.int64))
    picked = State(
        inner('Gather', state.total, chosen, axis=0),
        inner('Gather', state.finite, chosen, axis=0),
        None if state.score is None else inner('Gather', state.score, chosen, axis=0),
    )
    own = chosen if rows is None else inner('Gather', rows, chosen, axis=0)
    later = _stage(inner, manifest, models, index + 1, own, picked)
    places = inner('Unsqueeze', chosen, inner.classes)
    types = (TensorProto.FLOAT, TensorProto.FLOAT, TensorProto.INT64)
    merged = [inner('ScatterND', old, places, new) for old, new in zip((fused, confidence, exits), later, strict=True)]
    same = Nodes(f'gap{index}.none.')
    kept = [same('Identity', name) for name in (fused, confidence, exits)]
    some = nodes('ReduceMax', nodes('Cast', going, to=TensorProto.INT32), keepdims=0)
    outcome = nodes.several(
        'If',
        3,
        nodes('Cast', some, to=TensorProto.BOOL),
        then_branch=inner.graph(f'gap{index}', dict(zip(merged, types, strict=True)), merged),
        else_branch=same.graph(f'gap{index}.none', dict(zip(kept, types, strict=True)), kept),
    )
    return outcome[0], outcome[1], outcome[2]


def _member(nodes: Nodes, model: onnx.ModelProto, prefix: str, images: str) -> str:
    """A member's graph in place, fed with some images; the name of its values."""
    graph = compose.add_prefix(model, prefix, rename_functions=False).graph
    nodes.nodes.append(helper.make_node('Identity', [images], [graph.input[0].name]))
    nodes.nodes.extend(graph.node)
    nodes.initializers.extend(graph.initializer)
    return graph.output[0].name
