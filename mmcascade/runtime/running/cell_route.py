# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The cells of one image through the stages: the counterpart of the router for segmentation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mmcascade.runtime.decision.cell_confidence import CellScore
from mmcascade.runtime.decision.confidence import carried_width, member_score
from mmcascade.runtime.decision.fusion import Floats, Output, State
from mmcascade.runtime.decision.grid import MAX_CELLS, Crops, Grid, Size, enlarged
from mmcascade.runtime.description.manifest import CellRules, Manifest
from mmcascade.runtime.description.stages import BundleStage
from mmcascade.runtime.errors import ImageError

#: What runs a stage: raw images ``(N, C, H, W)`` of one size to maps ``(N, classes, h, w)``, and the cost of one.
Run = Callable[[NDArray[np.uint8]], tuple[Floats, float]]
#: Crops that run together, which bounds the memory of their maps.
_CROPS = 8


class CellOutput(Output):
    """What one stage gave for the pixels of a cell: all of them count, or none."""

    @cached_property
    def finite(self) -> NDArray[np.bool_]:
        """The same for every pixel, ``(N)``."""
        return np.full(len(self.values), bool(np.isfinite(self.values).all()))


@dataclass
class _Cell:
    """What is known of a cell while its image is labelled."""

    state: State
    macs: float = 0.0
    margin: float = float('inf')


@dataclass(frozen=True)
class Labelled:
    """What became of an image, cells in the order of its grid.

    Attributes:
        labels: int64 ``(H, W)`` of the original image.
        confidence: float64 per cell, maps applied; NaN where no pixel counts, -inf where nothing was finite.
        exit_stage: int64 per cell.
        macs: float64 per cell; a stage on whole images is paid for by the cells that asked for it, by their areas.
        margin: float64 per cell: how far its scores stayed from every bound, less what rounding of pixels can move.
        slack: float64 per cell: how far rounding of pixels can move its confidence.
        probs: fused, float32 ``(C, H, W)``, or None where nobody asked for them.
    """

    labels: NDArray[np.int64]
    confidence: NDArray[np.float64]
    exit_stage: NDArray[np.int64]
    macs: NDArray[np.float64]
    margin: NDArray[np.float64]
    slack: NDArray[np.float64]
    probs: Floats | None


def label(
    manifest: Manifest,
    runs: Sequence[Run],
    pixels: NDArray[np.uint8],
    original: Size,
    number: int = 0,
    with_probs: bool = False,
) -> Labelled:
    """Run stage 0 on an image and each later stage on the cells that the policy sends on.

    Args:
        manifest: a cascade of segmentors.
        runs: one per stage.
        pixels: the view of the image, ``(C, h, w)``.
        original: size of the image itself.
        number: running number of the image, for policies that draw.
        with_probs: keep the probabilities of all pixels.
    """
    rules = manifest.cells
    assert rules is not None  # the manifest is of this task
    grid = Grid(original, rules.cell)
    if len(grid) > MAX_CELLS:
        raise ImageError(
            f'cells of {grid.frame} pixels cut an image of {original} into {len(grid)}, more than {MAX_CELLS}'
        )
    count, classes = len(grid), manifest.num_classes
    done = Labelled(
        np.zeros(original, np.int64),
        np.zeros(count),
        np.zeros(count, np.int64),
        np.zeros(count),
        np.full(count, np.inf),
        np.zeros(count),
        np.zeros((classes, *original), np.float32) if with_probs else None,
    )
    width = carried_width(manifest.confidence, manifest.fusion, classes)
    cells = {index: _Cell(State.empty(manifest.fusion, grid.box(index).area, classes, width)) for index in range(count)}
    for index, stage in enumerate(manifest.stages):
        going: dict[int, _Cell] = {}
        for place, values, macs in _scores(stage, runs[index], rules, grid, pixels, list(cells)):
            cell = cells[place]
            output = CellOutput(values.reshape(classes, -1).T, stage.output, stage.temperature)
            own = None if width is None else member_score(manifest.confidence, output, manifest.fusion)
            cell.state = cell.state.add(output, own)
            cell.macs += macs
            score = rules.confidence(cell.state, grid.box(place).size)
            if _goes_on(manifest, rules, index, cell, score, number * MAX_CELLS + place):
                going[place] = cell
            else:
                _finish(manifest, index, cell, score, (grid, place), output, done)
        cells = going
        if not cells:
            break
    return done


def _scores(
    stage: BundleStage, run: Run, rules: CellRules, grid: Grid, pixels: NDArray[np.uint8], places: list[int]
) -> Iterator[tuple[int, Floats, float]]:
    """For each of some cells its scores ``(C, h, w)`` by a stage, and what they cost."""
    if stage.on == 'image':
        maps, macs = run(pixels[None])
        scores = enlarged(maps[0], grid.image, stage.align_corners)
        asked = sum(grid.box(place).area for place in places)
        for place in places:
            cell = grid.box(place)
            yield place, cell.of(scores), macs * cell.area / asked
        return
    crops = Crops(grid, (pixels.shape[1], pixels.shape[2]), rules.margin)
    for start in range(0, len(places), _CROPS):
        some = places[start : start + _CROPS]
        maps, macs = run(np.stack([crops.box(place).of(pixels) for place in some]))
        for place, scores in zip(some, maps, strict=True):
            yield place, crops.scores(scores, place, stage.align_corners), macs


def _goes_on(manifest: Manifest, rules: CellRules, gap: int, cell: _Cell, score: CellScore, unit: int) -> bool:
    """Whether a cell goes on; its margin takes the bounds of this gap in."""
    if gap == len(manifest.stages) - 1 or manifest.policy.is_closed(gap):
        return False
    for bound in manifest.policy.bounds(gap):
        cell.margin = np.fmin(cell.margin, abs(float(score.value) - bound) - score.slack)
    if np.isnan(score.value):
        return rules.confidence.empty == 'go_on'
    going = manifest.policy.go_on(gap, np.array([score.value]), np.array([unit]))[0]
    return bool(going) or not cell.state.finite[0]


def _finish(
    manifest: Manifest,
    stage: int,
    cell: _Cell,
    score: CellScore,
    where: tuple[Grid, int],
    output: Output,
    done: Labelled,
) -> None:
    grid, place = where
    box = grid.box(place)
    exit_map = manifest.maps[stage]
    judged = float(score.value if exit_map is None else exit_map(np.array([score.value]))[0])
    rules = manifest.cells
    assert rules is not None  # label() has looked
    if rules.accept is not None:
        cell.margin = np.fmin(cell.margin, abs(judged - rules.accept) - score.slack)
    done.slack[place] = score.slack
    alone = stage == 0 or manifest.fusion == 'replace'
    # Scores that softmax rounds to the same probability are still told apart, as the member itself would.
    scores = output.values if alone and output.finite[0] else cell.state.mean
    box.of(done.labels)[:] = scores.argmax(1).reshape(box.size)
    done.confidence[place], done.exit_stage[place] = judged, stage
    done.macs[place], done.margin[place] = cell.macs, cell.margin
    if done.probs is not None:
        box.of(done.probs)[:] = cell.state.probs.T.reshape(-1, *box.size)
