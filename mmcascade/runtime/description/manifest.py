# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""cascade.json: what a bundle holds, read and checked, field by field, before anything of it is used."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmcascade.runtime.cells.confidence import CellConfidence
from mmcascade.runtime.decision.confidence import CONFIDENCES, MEMBER
from mmcascade.runtime.decision.exits import Shape, read_continues, read_leaves
from mmcascade.runtime.decision.fusion import FUSIONS
from mmcascade.runtime.decision.policies import Policy, read_policy
from mmcascade.runtime.decision.score_map import ScoreMap
from mmcascade.runtime.description.fields import Fields, is_bounded, is_whole
from mmcascade.runtime.drift import Expected
from mmcascade.runtime.errors import BundleError
from mmcascade.runtime.preprocessing.step import MAX_SIDE
from mmcascade.runtime.preprocessing.views import View

NAME = 'cascade.json'
SCHEMA = 1
TASKS = ('classification', 'segmentation')
#: Steps after which the pixels of the original image can be found again.
RESIZING = ('resize', 'resize_edge', 'resize_within', 'resize_ratio')
#: A bundle's files lie in its folder and have plain names.
_GRAPH_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9._-]{0,200}\.onnx')
_SHA256 = re.compile(r'[0-9a-f]{64}')
_MAX_BYTES = 64 << 20


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
class CellRules:
    """How a cascade of segmentors cuts images into cells and judges them.

    Attributes:
        cell: height and width in pixels of the original image; None = the whole image is one cell.
        margin: context around the crop of a cell, in the same pixels.
        confidence, accept: of a cell; cells whose judged score is at least this are accepted, None = nobody says.
    """

    cell: tuple[int, int] | None
    margin: int
    confidence: CellConfidence
    accept: float | None = None


@dataclass(frozen=True)
class Stage:
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


@dataclass(frozen=True)
class Manifest:
    """A cascade as data.

    Attributes:
        task: 'classification' or 'segmentation'.
        num_classes: how many scores every graph gives.
        classes: their names, or None where nobody knows them.
        stages: cheap first.
        views: what the stages see of an image.
        fusion: 'prob', 'logit' or 'replace'.
        confidence: name of the confidence function.
        policy: who goes on.
        maps: per stage, from raw scores to those that are judged, or None.
        accept: images whose judged score is at least this are accepted; None = nobody says.
        guarantee: what the calibration certified of the accept threshold, for people.
        expected: what the calibration saw of exits and acceptance; None where nobody says.
        cells: of segmentors, how images are cut up; else None.
    """

    task: str
    num_classes: int
    classes: tuple[str, ...] | None
    stages: tuple[Stage, ...]
    views: tuple[View, ...]
    fusion: str
    confidence: str
    policy: Policy
    maps: tuple[ScoreMap | None, ...]
    accept: float | None
    guarantee: dict[str, Any] | None
    expected: Expected | None
    cells: CellRules | None = None

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """Read a bundle's cascade.json.

        Raises:
            BundleError: if it is missing, no JSON, or wrong in any field.
        """
        path = folder / NAME
        try:
            if path.stat().st_size > _MAX_BYTES:
                raise BundleError(f'{path} has {path.stat().st_size:,} bytes, more than any {NAME} needs')
            data = json.loads(path.read_bytes())
        except OSError as error:
            raise BundleError(
                f'{folder} is no bundle: its {NAME} cannot be read ({error.strerror}); '
                '`mmcascade export CASCADE DIR` makes bundles'
            ) from error
        except (ValueError, RecursionError) as error:
            raise BundleError(f'{path} is no JSON ({error}); export the cascade again') from error
        return cls.read(Fields(data, NAME))

    @classmethod
    def read(cls, fields: Fields) -> Manifest:
        """From the object of cascade.json.

        Raises:
            BundleError: naming the first field that is wrong.
        """
        if (schema := fields.whole('schema', 1, 1 << 30)) != SCHEMA:
            raise BundleError(
                f'{NAME} is of schema {schema}, and this version of mmcascade reads schema {SCHEMA}; '
                'export the cascade again, or install the version that wrote it'
            )
        task = fields.text('task', choices=TASKS)
        num_classes = fields.whole('num_classes', 2, 1_000_000)
        views = tuple(View.read(view) for view in fields.objects('views', most=100))
        stages = _stages(fields, task, len(views))
        confidence = fields.text('confidence', choices=CONFIDENCES)
        fusion = fields.text('fusion', choices=FUSIONS)
        for index, stage in enumerate(stages):
            if confidence in MEMBER and fusion != 'logit' and stage.output != 'logits':
                raise BundleError(
                    f'{NAME}: confidence {confidence!r} needs logits, but stage {index} gives {stage.output}'
                )
        return cls(
            task,
            num_classes,
            _classes(fields, num_classes),
            stages,
            views,
            fusion,
            confidence,
            read_policy(fields.object('policy'), len(stages) - 1),
            _maps(fields, len(stages)),
            fields.optional_number('accept'),
            dict(fields.object('guarantee').data) if 'guarantee' in fields else None,
            _expected(fields.object('expected'), len(stages) - 1) if 'expected' in fields else None,
            _cells(fields, stages, views, confidence) if task == 'segmentation' else None,
        )


def _stages(fields: Fields, task: str, views: int) -> tuple[Stage, ...]:
    stages: list[Stage] = []
    for entry in fields.objects('stages', most=100):
        stages.append(_segmentor_stage(entry, views) if task == 'segmentation' else _stage(entry, views, stages))
    if not stages:
        raise fields.wrong('stages', 'a list of at least one stage')
    return tuple(stages)


def _stage(fields: Fields, views: int, before: Sequence[Stage]) -> Stage:
    graph, sha256 = _file(fields)
    view = fields.whole('view', 0, views - 1)
    continues = read_continues(fields, before, view)
    return Stage(
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


def _segmentor_stage(fields: Fields, views: int) -> Stage:
    sized = tuple(map(_sized, fields.objects('graphs', most=100)))
    if not sized or len({graph.size for graph in sized}) < len(sized):
        raise fields.wrong('graphs', 'a list of graphs, at least one, each for another size')
    return Stage(
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
        _size(fields, 'size'),
        _size(fields, 'seen'),
        fields.number('macs', 0.0, least=0.0),
        fields.whole('batch', 1, 4096) if 'batch' in fields else None,
    )


def _size(fields: Fields, name: str) -> tuple[int, int]:
    sides = fields.items(name, 2)
    if not all(is_whole(side) and 1 <= side <= MAX_SIDE for side in sides):
        raise fields.wrong(name, f'[height, width] in whole pixels from 1 to {MAX_SIDE}')
    return sides[0], sides[1]


def _cells(fields: Fields, stages: tuple[Stage, ...], views: tuple[View, ...], confidence: str) -> CellRules:
    if stages[0].on != 'image':
        raise BundleError(f'{NAME}: stages[0] labels whole images, from which cells are chosen')
    if len(views) != 1 or any(step.op not in RESIZING for step in views[0].steps):
        raise fields.wrong(
            'views', f'one view whose steps are among {", ".join(RESIZING)}: cells are found again after these'
        )
    grid = fields.object('grid')
    cell = _size(grid, 'cell') if 'cell' in grid else None
    margin = grid.whole('margin', 0, 0 if cell is None else min(cell), 0)
    if cell is None and any(stage.on == 'cell' for stage in stages):
        raise BundleError(f'{NAME}: stages on cells need a grid with cells, and its cell is null')
    judged = CellConfidence.read(confidence, fields.object('cells'))
    return CellRules(cell, margin, judged, fields.optional_number('accept_cells'))


def _classes(fields: Fields, num_classes: int) -> tuple[str, ...] | None:
    if 'classes' not in fields:
        return None
    names = fields.items('classes', num_classes, most=1_000_000)
    if not all(isinstance(name, str) and len(name) <= 1000 for name in names):
        raise fields.wrong('classes', f'a list of {num_classes} names')
    return tuple(names)


def _maps(fields: Fields, stages: int) -> tuple[ScoreMap | None, ...]:
    if 'maps' not in fields:
        return (None,) * stages
    where = f'{fields.where}: maps'
    entries = fields.items('maps', stages)
    return tuple(None if x is None else ScoreMap.read(Fields(x, f'{where}[{k}]')) for k, x in enumerate(entries))


def _expected(fields: Fields, gaps: int) -> Expected:
    reached = fields.items('reached', gaps)
    if not all(is_bounded(share) and 0 <= share <= 1 for share in reached):
        raise fields.wrong('reached', 'a list of shares from 0 to 1, one per gap')
    accepted = fields.number('accepted', least=0.0, most=1.0) if 'accepted' in fields else None
    return Expected(fields.whole('units', 1, 1 << 50), tuple(map(float, reached)), accepted)
