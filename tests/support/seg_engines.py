# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One cascade of segmentors in every engine that can run it, on the same images, and which cells lie on a bound."""

from __future__ import annotations

import base64
import copy
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from numpy.typing import NDArray
from PIL import Image
from starlette.testclient import TestClient

from mmcascade.engine.predict.deciders.open_decider import open_decider
from mmcascade.engine.predict.deciders.seg_decider import SegDecider
from mmcascade.engine.predict.rows.maps import MapDecision
from mmcascade.engine.runs.export import run_export
from mmcascade.runtime import Engine, SegmentationBundle
from mmcascade.serving.app import create_app
from mmcascade.serving.settings import ServeSettings
from tests.support.engines import ON_A_BOUND
from tests.support.projects.tiny_seg_project import write_project

COUNT = 24
WINDOW, ACCEPT, ACCEPT_CELLS = (0.5, 0.62), 0.63, 0.48


@dataclass(frozen=True)
class Labelled:
    """What must be equal in every engine: of an image, of its cells in a row, and of its pixels."""

    accepted: bool
    cells: list[tuple[int, bool]]
    labels: NDArray[np.integer]


@dataclass(frozen=True)
class OnABound:
    """What of an image rounding decides on.

    Attributes:
        image: whether its confidence is within :data:`ON_A_BOUND` of its threshold, or one of its cells is here.
        cells: those with a score that near to the window's end or to the accept threshold.
        pixels: ``(H, W)``, where the two best classes are that near to each other, or whose cell is here.
    """

    image: bool
    cells: set[int]
    pixels: NDArray[np.bool_]


@dataclass(frozen=True)
class SegCase:
    """A cascade as a config and as a bundle, images, and what torch says of them.

    Attributes:
        config: of the cascade.
        bundle: exported from it.
        files: the images.
        torch: what the cascade of the config says.
        on_a_bound: per image.
    """

    config: Path
    bundle: Path
    files: list[Path]
    torch: list[Labelled]
    on_a_bound: list[OnABound]

    def check(self, engine: str, found: Sequence[Labelled]) -> None:
        """Hold what an engine says against torch: it differs on a bound only."""
        assert len(found) == len(self.torch)
        for file, expected, given, near in zip(self.files, self.torch, found, self.on_a_bound, strict=True):
            assert given.accepted == expected.accepted or near.image, f'{engine} on {file.name}: accepted'
            assert len(given.cells) == len(expected.cells)
            differ = {k for k, pair in enumerate(zip(given.cells, expected.cells, strict=True)) if pair[0] != pair[1]}
            wrong = {k: (expected.cells[k], given.cells[k]) for k in differ - near.cells}
            assert not wrong, f'{engine} on {file.name}: cells that lie on no bound are decided otherwise: {wrong}'
            pixels = (given.labels != expected.labels) & ~near.pixels
            assert not pixels.any(), f'{engine} on {file.name}: {pixels.sum()} pixels have another class'


def make_seg_case(folder: Path) -> SegCase:
    """Write a project, export its cascade, label its test images in torch, and find what lies on a bound."""
    cfg = write_project(
        folder,
        dict(val=4, test=COUNT),
        policy=dict(type='mmcascade.WindowPolicy', windows=[WINDOW]),
        confidence=dict(type='mmcascade.CellConfidence', pixel='max_prob', t_unk=None),
        accept=ACCEPT,
        accept_cells=ACCEPT_CELLS,
    )
    run_export(copy.deepcopy(cfg), folder / 'bundle', 'roads')
    files = sorted((folder / 'img' / 'test').iterdir())
    config = _dump(cfg, folder / 'cascade.py', [WINDOW])
    decisions = [one for one in open_decider(config).decide(files) if isinstance(one, MapDecision)]
    stages = [
        _scores(_dump(cfg, folder / f'{name}.py', [window]), files)
        for name, window in (('first', None), ('all', (None, None)))
    ]
    near = [_near(decision, stages[0][k], stages[1][k]) for k, decision in enumerate(decisions)]
    return SegCase(config, folder / 'bundle', files, [of_maps(one) for one in decisions], near)


def _dump(cfg: Config, path: Path, windows: list[object]) -> Path:
    """The config with other windows, in a file, and all that torch keeps of pixels."""
    changed = copy.deepcopy(cfg)
    changed.model.policy.windows = windows
    changed.model.seg_logits = True
    changed.dump(path)
    return path


def _scores(config: Path, files: Sequence[Path]) -> list[tuple[list[float], NDArray[np.floating]]]:
    """Per image the confidence of its cells, and of its pixels how much the best class leads, by the probabilities."""
    decider = open_decider(config)
    assert isinstance(decider, SegDecider)
    found = []
    for number, file in enumerate(files):
        (sample,) = decider.model.test_step(pseudo_collate([decider._prepared(file, number)]))
        second, first = np.sort(np.exp(sample.seg_logits.data.numpy()), axis=0)[-2:]
        found.append((sample.cells.confidence.tolist(), first - second))
    return found


def _near(
    decision: MapDecision,
    first: tuple[list[float], NDArray[np.floating]],
    last: tuple[list[float], NDArray[np.floating]],
) -> OnABound:
    """By the definition: every score that was compared, and of pixels the stage that their cell left after."""
    cells, lead = set(), np.empty(decision.labels.shape)
    for index, cell in enumerate(decision.cells):
        compared = [abs(first[0][index] - end) for end in WINDOW] + [abs(cell['confidence'] - ACCEPT_CELLS)]
        x1, y1, x2, y2 = cell['bbox']
        where = slice(y1, y2), slice(x1, x2)
        lead[where] = (first if cell['exit_stage'] == 0 else last)[1][where]
        if min(compared) < ON_A_BOUND:
            cells.add(index)
            lead[where] = 0
    assert decision.confidence is not None
    return OnABound(bool(cells) or abs(decision.confidence - ACCEPT) < ON_A_BOUND, cells, lead < ON_A_BOUND)


def of_maps(decision: MapDecision) -> Labelled:
    """A decision of ``predict``."""
    cells = [(cell['exit_stage'], cell['accepted']) for cell in decision.cells]
    return Labelled(bool(decision.accepted), cells, decision.labels)


def of_rows(rows: Iterable[dict]) -> list[Labelled]:
    """Rows of a table that label maps lie beside."""
    found = []
    for row in rows:
        cells = [(cell['exit_stage'], cell['accepted']) for cell in row['cells']]
        found.append(Labelled(row['accepted'], cells, np.asarray(Image.open(row['label_map']))))
    return found


def of_answers(answers: Iterable[dict]) -> list[Labelled]:
    """What a server says."""
    found = []
    for row in answers:
        cells = [(cell['exit_stage'], cell['accepted']) for cell in row['cells']]
        labels = np.asarray(Image.open(io.BytesIO(base64.b64decode(row['labels']))))
        found.append(Labelled(row['accepted'], cells, labels))
    return found


def by_bundle(engine: str) -> Callable[[SegCase], list[Labelled]]:
    def label(case: SegCase) -> list[Labelled]:
        found = map(SegmentationBundle(case.bundle, Engine(engine, threads=1)).segment, case.files)
        return [
            Labelled(bool(x.accepted), [(cell.exit_stage, bool(cell.accepted)) for cell in x.cells], x.labels)
            for x in found
        ]

    return label


def by_predict(case: SegCase) -> list[Labelled]:
    """As ``mmcascade predict`` decides with the bundle."""
    return [of_maps(one) for one in open_decider(case.bundle).decide(case.files) if isinstance(one, MapDecision)]


def by_server(case: SegCase) -> list[Labelled]:
    with TestClient(create_app({'main': case.bundle}, ServeSettings(), Engine(threads=1))) as client:
        return of_answers(client.post('/v1/segment', content=file.read_bytes()).json() for file in case.files)
