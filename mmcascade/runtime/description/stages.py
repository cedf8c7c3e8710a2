# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The stages of a bundle and their graphs, as cascade.json has them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mmcascade.runtime.decision.exits import Shape, read_continues, read_leaves
from mmcascade.runtime.fields import Fields
from mmcascade.runtime.preprocessing.step import read_size

#: A bundle's files lie in its folder and have plain names.
_GRAPH_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9._-]{0,200}\.onnx')
_SHA256 = re.compile(r'[0-9a-f]{64}')


@dataclass(frozen=True)
class SizedGraph:
    """The graph of a segmentor for images (or crops) of one size.

    Attributes:
        graph: file name of its ONNX graph, in the bundle's folder.
        sha256: of that file.
        size: of the images that it takes, height and width.
        seen: of the maps that it gives.
        macs: multiply-adds per image of this size.
        batch: the one batch size at which the graph is right; None = any.
    """

    graph: str
    sha256: str
    size: tuple[int, int]
    seen: tuple[int, int]
    macs: float
    batch: int | None


@dataclass(frozen=True)
class BundleStage:
    """A member applied to a view.

    Attributes:
        member: its name.
        graph: file name of its ONNX graph, in the bundle's folder.
        sha256: of that file.
        view: index of the view that it takes.
        output: what the graph gives, 'logits' or 'probabilities'.
        temperature: divides the logits.
        macs: multiply-adds per image, 0 where nobody counted them.
        batch: the one batch size at which the graph is right; None = any.
        on: 'image', or 'cell' where a segmentor runs on crops around cells.
        align_corners: how a segmentor's maps are enlarged.
        sized: a segmentor's graphs, one per size; it has no other.
        continues: of an exit of a network, the stage whose graph left behind what this one's takes in place of images.
        takes, leaves: shapes, per image, of what it takes then, and of what it leaves behind besides its values.
    """

    member: str
    graph: str
    sha256: str
    view: int
    output: str
    temperature: float
    macs: float
    batch: int | None
    on: str = 'image'
    align_corners: bool = False
    sized: tuple[SizedGraph, ...] = ()
    continues: int | None = None
    takes: tuple[Shape, ...] = ()
    leaves: tuple[Shape, ...] = ()


def read_stages(fields: Fields, task: str, views: int) -> tuple[BundleStage, ...]:
    """The stages of a cascade for a task, over a number of views."""
    stages: list[BundleStage] = []
    for entry in fields.objects('stages', most=100):
        stages.append(_segmentor_stage(entry, views) if task == 'segmentation' else _stage(entry, views, stages))
    if not stages:
        raise fields.wrong('stages', 'a list of at least one stage')
    return tuple(stages)


def _stage(fields: Fields, views: int, before: Sequence[BundleStage]) -> BundleStage:
    graph, sha256 = _file(fields)
    view = fields.whole('view', 0, views - 1)
    continues = read_continues(fields, before, view)
    return BundleStage(
        fields.text('member'),
        graph,
        sha256,
        view,
        fields.text('output', choices=('logits', 'probabilities')),
        fields.number('temperature', 1.0, least=1e-6, most=1e6),
        fields.number('macs', 0.0, least=0.0),
        fields.whole('batch', 1, 4096) if 'batch' in fields else None,
        continues=continues,
        takes=() if continues is None else before[continues].leaves,
        leaves=read_leaves(fields),
    )


def _file(fields: Fields) -> tuple[str, str]:
    """Name and hash of a graph."""
    graph, sha256 = fields.text('graph'), fields.text('sha256')
    if not _GRAPH_NAME.fullmatch(graph):
        raise fields.wrong('graph', 'the plain name of an .onnx file in the folder of the bundle')
    if not _SHA256.fullmatch(sha256):
        raise fields.wrong('sha256', '64 hexadecimal digits')
    return graph, sha256


def _segmentor_stage(fields: Fields, views: int) -> BundleStage:
    sized = tuple(map(_sized, fields.objects('graphs', most=100)))
    if not sized or len({graph.size for graph in sized}) < len(sized):
        raise fields.wrong('graphs', 'a list of graphs, at least one, each for another size')
    return BundleStage(
        fields.text('member'),
        sized[0].graph,
        sized[0].sha256,
        fields.whole('view', 0, views - 1),
        fields.text('output', choices=('logits', 'probabilities')),
        fields.number('temperature', 1.0, least=1e-6, most=1e6),
        sized[0].macs,
        None,
        fields.text('on', choices=('image', 'cell')),
        fields.flag('align_corners'),
        sized,
    )


def _sized(fields: Fields) -> SizedGraph:
    graph, sha256 = _file(fields)
    return SizedGraph(
        graph,
        sha256,
        read_size(fields, 'size'),
        read_size(fields, 'seen'),
        fields.number('macs', 0.0, least=0.0),
        fields.whole('batch', 1, 4096) if 'batch' in fields else None,
    )
