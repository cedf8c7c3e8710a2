# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Images through the stages: the counterpart of the router, for a batch that is at hand whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from numpy.typing import NDArray

from mmcascade.runtime.decision.confidence import carried_width, confidence, member_score
from mmcascade.runtime.decision.exits import ExitRun, LeftBehind
from mmcascade.runtime.decision.fusion import Floats, Output, State
from mmcascade.runtime.description.manifest import Manifest
from mmcascade.runtime.description.stages import BundleStage
from mmcascade.runtime.preprocessing.step import Pixels
from mmcascade.runtime.preprocessing.views import View

#: What runs a stage: raw images ``(N, C, H, W)`` to values ``(N, classes)``. That of an exit is an ``ExitRun``, too.
Run = Callable[[NDArray[np.uint8]], Floats]


@dataclass(frozen=True)
class Running:
    """The running decision on images after a stage.

    Attributes:
        rows: which of the images ran it, int64 ``(M)``.
        label: index of the most probable class so far, int64 ``(M)``.
        confidence: what the windows are compared with, ``(M)``.
    """

    rows: NDArray[np.int64]
    label: NDArray[np.int64]
    confidence: Floats


@dataclass(frozen=True)
class Routed:
    """What became of N images, each array in their order.

    Attributes:
        probs: fused class probabilities, float32 ``(N, C)``.
        confidence: the score that is judged, maps applied, float64 ``(N)``; -inf where no stage gave finite output.
        exit_stage: the stage after which each left, int64 ``(N)``.
        macs: multiply-adds spent, float64 ``(N)``.
        finite_stages: how many stages gave finite output, int64 ``(N)``.
        margin: how far its scores stayed from every bound that they were compared with, float64 ``(N)``: rounding
            can change the decision on an image whose margin is of its size.
        running: the decision after each stage that any image ran.
    """

    probs: Floats
    confidence: NDArray[np.float64]
    exit_stage: NDArray[np.int64]
    macs: NDArray[np.float64]
    finite_stages: NDArray[np.int64]
    margin: NDArray[np.float64]
    running: list[Running] = field(default_factory=list)


def route(manifest: Manifest, runs: Sequence[Run], images: Sequence[Pixels], first_unit: int = 0) -> Routed:
    """Run stage 0 on every image and each later stage on those that the policy sends on.

    Views of later stages are made for the images that get there. A unit with nothing finite so far goes on in every
    open gap.

    Args:
        manifest: the cascade.
        runs: one per stage.
        images: raw RGB pixels ``(H, W, 3)``, of any sizes.
        first_unit: running number of the first image, for policies that draw.
    """
    count = len(images)
    done = Routed(
        np.zeros((count, manifest.num_classes), np.float32),
        np.zeros(count),
        np.zeros(count, np.int64),
        np.zeros(count),
        np.zeros(count, np.int64),
        np.full(count, np.inf),
    )
    rows = np.arange(count)
    width = carried_width(manifest.confidence, manifest.fusion, manifest.num_classes)
    state = State.empty(manifest.fusion, count, manifest.num_classes, width)
    left_behind = LeftBehind(manifest.stages)
    for index, stage in enumerate(manifest.stages):
        if not len(rows):
            break
        values, left = _values(runs[index], stage, left_behind, manifest.views, [images[row] for row in rows.tolist()])
        output = Output(values, stage.output, stage.temperature)
        own = None if width is None else member_score(manifest.confidence, output, manifest.fusion)
        state = state.add(output, own)
        done.macs[rows] += stage.macs
        score = confidence(manifest.confidence, state)
        done.running.append(Running(rows, state.probs.argmax(1), score))
        going = _going_on(manifest, index, score, state, rows + first_unit)
        for bound in manifest.policy.bounds(index) if index < len(manifest.stages) - 1 else ():
            done.margin[rows] = np.fmin(done.margin[rows], np.abs(score.astype(np.float64) - bound))
        gone = rows[~going]
        done.probs[gone] = state.probs[~going]
        exit_map = manifest.maps[index]
        done.confidence[gone] = (score if exit_map is None else exit_map(score))[~going]
        done.exit_stage[gone] = index
        done.finite_stages[gone] = state.finite[~going]
        if manifest.accept is not None:
            done.margin[gone] = np.fmin(done.margin[gone], np.abs(done.confidence[gone] - manifest.accept))
        left_behind.keep(index, left, going)
        rows, state = rows[going], state.select(np.flatnonzero(going))
    return done


def _going_on(manifest: Manifest, gap: int, score: Floats, state: State, unit: NDArray[np.int64]) -> NDArray[np.bool_]:
    if gap == len(manifest.stages) - 1 or manifest.policy.is_closed(gap):
        return np.zeros(len(score), bool)
    return manifest.policy.go_on(gap, score, unit) | (state.finite == 0)


def _values(
    run: Run, stage: BundleStage, left_behind: LeftBehind, views: Sequence[View], images: Sequence[Pixels]
) -> tuple[Floats, list[Floats]]:
    """The values of a stage for some images, and what it leaves behind of them."""
    seen = [] if stage.continues is not None else [views[stage.view](image) for image in images]
    if stage.continues is None and not stage.leaves:
        return _run(run, seen), []
    return cast(ExitRun, run).go_on(left_behind.inputs(stage, seen))


def _run(run: Run, images: Sequence[NDArray[np.uint8]]) -> Floats:
    """Values of images of any sizes: those of one size together, in the order given."""
    shapes: dict[tuple[int, ...], list[int]] = {}
    for index, image in enumerate(images):
        shapes.setdefault(image.shape, []).append(index)
    if len(shapes) == 1:
        return run(np.stack(images))
    values: Floats | None = None
    for places in shapes.values():
        part = run(np.stack([images[index] for index in places]))
        if values is None:
            values = np.zeros((len(images), part.shape[1]), np.float32)
        values[places] = part
    assert values is not None
    return values
