# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""cascade.json: what a bundle holds, read and checked, field by field, before anything of it is used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmcascade.runtime.decision.cell_confidence import CellConfidence
from mmcascade.runtime.decision.confidence import CONFIDENCES, MEMBER
from mmcascade.runtime.decision.fusion import FUSIONS
from mmcascade.runtime.decision.policies import Policy, read_policy
from mmcascade.runtime.decision.score_map import ScoreMap
from mmcascade.runtime.description.stages import BundleStage, SizedGraph, read_stages
from mmcascade.runtime.drift import Expected
from mmcascade.runtime.errors import BundleError
from mmcascade.runtime.fields import Fields, is_bounded, is_text
from mmcascade.runtime.preprocessing.step import read_size
from mmcascade.runtime.preprocessing.views import View

NAME = 'cascade.json'
SCHEMA = 1
TASKS = ('classification', 'segmentation')
#: Steps after which the pixels of the original image can be found again.
RESIZING = ('resize', 'resize_edge', 'resize_within', 'resize_ratio')
_MAX_BYTES = 64 << 20


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
    stages: tuple[BundleStage, ...]
    views: tuple[View, ...]
    fusion: str
    confidence: str
    policy: Policy
    maps: tuple[ScoreMap | None, ...]
    accept: float | None
    guarantee: dict[str, Any] | None
    expected: Expected | None
    cells: CellRules | None = None

    def graphs(self) -> Iterator[tuple[str, BundleStage | SizedGraph, tuple[int, ...]]]:
        """The graphs of all stages: whose each is, what is said of it, and the shape of its values for an image."""
        for stage in self.stages:
            if not stage.sized:
                yield stage.member, stage, (self.num_classes,)
            for sized in stage.sized:
                yield stage.member, sized, (self.num_classes, *sized.seen)

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
        stages = read_stages(fields, task, len(views))
        confidence = fields.text('confidence', choices=CONFIDENCES)
        fusion = fields.text('fusion', choices=FUSIONS)
        for index, stage in enumerate(stages):
            if confidence in MEMBER and fusion != 'logit' and stage.output != 'logits':
                raise BundleError(
                    f'{NAME}: confidence {confidence!r} needs logits, but stage {index} gives {stage.output}'
                )
        guarantee = dict(fields.object('guarantee').data) if 'guarantee' in fields else None
        if guarantee is not None and guarantee.get('threshold', 0) is None:
            raise BundleError(
                f'{NAME}: no threshold could be certified as was asked, so the cascade accepts nothing; calibrate it '
                'again for what can be had, and export it'
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
            guarantee,
            _expected(fields.object('expected'), len(stages) - 1) if 'expected' in fields else None,
            _cells(fields, stages, views, confidence) if task == 'segmentation' else None,
        )


def _cells(fields: Fields, stages: tuple[BundleStage, ...], views: tuple[View, ...], confidence: str) -> CellRules:
    if stages[0].on != 'image':
        raise BundleError(f'{NAME}: stages[0] labels whole images, from which cells are chosen')
    if len(views) != 1 or any(step.op not in RESIZING for step in views[0].steps):
        raise fields.wrong(
            'views', f'one view whose steps are among {", ".join(RESIZING)}: cells are found again after these'
        )
    grid = fields.object('grid')
    cell = read_size(grid, 'cell') if 'cell' in grid else None
    margin = grid.whole('margin', 0, 0 if cell is None else min(cell), 0)
    if cell is None and any(stage.on == 'cell' for stage in stages):
        raise BundleError(f'{NAME}: stages on cells need a grid with cells, and its cell is null')
    judged = CellConfidence.read(confidence, fields.object('cells'))
    return CellRules(cell, margin, judged, fields.optional_number('accept_cells'))


def _classes(fields: Fields, num_classes: int) -> tuple[str, ...] | None:
    if 'classes' not in fields:
        return None
    names = fields.items('classes', num_classes, most=1_000_000)
    if not all(is_text(name) and len(name) <= 1000 for name in names):
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
