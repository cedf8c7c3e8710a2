# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a cascade decides after a stage, as nodes of an ONNX graph: fusion, confidence, and who goes on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from mmcascade.models.export.one_graph.nodes import Nodes
from mmcascade.runtime.decision.confidence import DISAGREEMENT, MEMBER, carried_width
from mmcascade.runtime.description.manifest import Manifest

_TINY = float(np.finfo(np.float32).tiny)
_FLOOR = float(np.log(np.finfo(np.float32).tiny))


@dataclass(frozen=True)
class State:
    """Names of what images carry: fused sum, number of finite outputs, sum of members' scores where anybody asks."""

    total: str
    finite: str
    score: str | None


def fuse(nodes: Nodes, manifest: Manifest, index: int, values: str, before: State | None) -> tuple[State, str, str]:
    """What images carry after a stage, their fused probabilities and their confidence."""
    stage = manifest.stages[index]
    logits = values
    if stage.output == 'probabilities':
        logits = nodes('Log', nodes('Max', values, nodes.constant(_TINY)))
    logits = nodes('Div', logits, nodes.constant(stage.temperature))
    as_given = stage.output == 'probabilities' and stage.temperature == 1.0
    added = logits if manifest.fusion == 'logit' else (values if as_given else nodes('Softmax', logits, axis=1))
    size = nodes('ReduceMax', nodes('Abs', values), nodes.classes, keepdims=0)
    infinite = nodes('Or', nodes('IsNaN', size), nodes('IsInf', size))
    broken = nodes('ReduceMax', nodes('Cast', nodes('IsNaN', values), to=TensorProto.INT64), nodes.classes, keepdims=0)
    finite = nodes('Not', nodes('Or', infinite, nodes('Cast', broken, to=TensorProto.BOOL)))
    number = nodes('Cast', finite, to=TensorProto.FLOAT)
    width = carried_width(manifest.confidence, manifest.fusion, manifest.num_classes)
    own = None
    if width is not None:
        stage_probs = values if as_given else nodes('Softmax', logits, axis=1)
        own = _member_score(nodes, manifest, index, logits, stage_probs)
    state = _added(nodes, manifest.fusion, State(added, number, own), finite, before, wide=bool(width))
    divisor = nodes('Max', state.finite, nodes.constant(1.0))
    if manifest.fusion == 'replace':
        divisor = nodes('Identity', nodes.constant([1.0]))
    mean = nodes('Div', state.total, nodes('Unsqueeze', divisor, nodes.classes))
    any_finite = nodes('Greater', state.finite, nodes.constant(0.0))
    if manifest.fusion != 'logit':
        uniform = nodes.constant(1 / manifest.num_classes)
        mean = nodes('Where', nodes('Unsqueeze', any_finite, nodes.classes), mean, uniform)
    probs = nodes('Softmax', mean, axis=1) if manifest.fusion == 'logit' else mean
    own = None
    if state.score is not None:
        own = nodes('Div', state.score, nodes('Unsqueeze', divisor, nodes.classes) if width else divisor)
    score = _confidence(nodes, manifest, mean, probs, own)
    return state, probs, nodes('Where', any_finite, score, nodes.constant(-np.inf))


def _added(nodes: Nodes, fusion: str, now: State, finite: str, before: State | None, *, wide: bool) -> State:
    """The state after one more stage; output that is not finite adds nothing. ``wide``: scores are rows of numbers."""
    if before is None:
        zero = nodes.constant(0.0)
        before = State(zero, zero, zero)

    def kept(added: str, earlier: str, choice: str) -> str:
        total = added if fusion == 'replace' else nodes('Add', earlier, added)
        return nodes('Where', choice, total, earlier)

    score = None
    if now.score is not None:
        assert before.score is not None  # the confidence is one for all stages
        score = kept(now.score, before.score, nodes('Unsqueeze', finite, nodes.classes) if wide else finite)
    return State(
        kept(now.total, before.total, nodes('Unsqueeze', finite, nodes.classes)),
        nodes('Add', before.finite, now.finite),
        score,
    )


def _member_score(nodes: Nodes, manifest: Manifest, index: int, logits: str, probs: str) -> str:
    """What the member brings of its own, as the confidence asks for it."""
    if manifest.confidence == 'neg_mutual_information':
        own = _neg_entropy(nodes, probs)
        if manifest.fusion != 'logit':
            return own
        return nodes('Concat', probs, nodes('Unsqueeze', own, nodes.classes), axis=1)
    if manifest.confidence in DISAGREEMENT:
        return _is_best(nodes, manifest, probs)
    if manifest.confidence == 'energy':
        scale = nodes.constant(manifest.stages[index].temperature)
        return nodes('Mul', nodes('ReduceLogSumExp', logits, nodes.classes, keepdims=0), scale)
    return nodes('ReduceMax', logits, nodes.classes, keepdims=0)


def _confidence(nodes: Nodes, manifest: Manifest, mean: str, probs: str, member_score: str | None) -> str:
    name = manifest.confidence
    if name in DISAGREEMENT:
        assert member_score is not None
        return _disagreement(nodes, manifest, probs, member_score)
    if name in MEMBER:
        if member_score is not None:
            return member_score
        operator = 'ReduceLogSumExp' if name == 'energy' else 'ReduceMax'
        return nodes(operator, mean, nodes.classes, keepdims=0)
    if name == 'max_prob':
        return nodes('ReduceMax', probs, nodes.classes, keepdims=0)
    if name == 'prob_gap':
        return _gap(nodes, probs)
    if manifest.fusion == 'logit':
        log_probs = nodes('Max', nodes('LogSoftmax', mean, axis=1), nodes.constant(_FLOOR))
    else:
        log_probs = nodes('Log', nodes('Max', probs, nodes.constant(_TINY)))
    if name == 'neg_entropy':
        return nodes('ReduceSum', nodes('Mul', probs, log_probs), nodes.classes, keepdims=0)
    return _gap(nodes, mean if manifest.fusion == 'logit' else log_probs)


def _disagreement(nodes: Nodes, manifest: Manifest, probs: str, own: str) -> str:
    if manifest.confidence == 'neg_mutual_information':
        if manifest.fusion == 'logit':
            places = nodes.constant([manifest.num_classes, 1], np.int64)
            probs, own = nodes.several('Split', 2, own, places, axis=1)
            own = nodes('Squeeze', own, nodes.classes)
        return nodes('Min', nodes('Sub', _neg_entropy(nodes, probs), own), nodes.constant(0.0))
    if manifest.confidence == 'neg_variation_ratio':
        return nodes('Sub', nodes('ReduceMax', own, nodes.classes, keepdims=0), nodes.constant(1.0))
    chosen = nodes('Mul', own, _is_best(nodes, manifest, probs))
    return nodes('ReduceSum', chosen, nodes.classes, keepdims=0)


def _neg_entropy(nodes: Nodes, probs: str) -> str:
    logs = nodes('Log', nodes('Max', probs, nodes.constant(_TINY)))
    return nodes('ReduceSum', nodes('Mul', probs, logs), nodes.classes, keepdims=0)


def _is_best(nodes: Nodes, manifest: Manifest, probs: str) -> str:
    """1 for the most probable class, the first one of several, else 0."""
    best = nodes('ArgMax', probs, axis=1, keepdims=1)
    classes = nodes.constant(np.arange(manifest.num_classes), np.int64)
    return nodes('Cast', nodes('Equal', classes, best), to=TensorProto.FLOAT)


def _gap(nodes: Nodes, values: str) -> str:
    """The largest minus the second largest of each row."""
    best, _ = nodes.several('TopK', 2, values, nodes.constant([2], np.int64), axis=1)
    first, second = nodes.several('Split', 2, best, axis=1, num_outputs=2)
    return nodes('Squeeze', nodes('Sub', first, second), nodes.classes)


def goes_on(nodes: Nodes, gap: int, confidence: str, finite: str) -> str:
    """Who goes on, bool ``(N)``: inside of the window, or without any finite output where the gap is open."""
    window = nodes('Gather', 'bounds', nodes.constant(gap, np.int64), axis=0)
    low, high = (nodes('Gather', window, nodes.constant(end, np.int64), axis=0) for end in (0, 1))
    inside = nodes('And', nodes('GreaterOrEqual', confidence, low), nodes('LessOrEqual', confidence, high))
    lost = nodes('Equal', finite, nodes.constant(0.0))
    opened = nodes('Not', nodes('IsNaN', low))
    return nodes('And', nodes('Or', inside, lost), opened)
