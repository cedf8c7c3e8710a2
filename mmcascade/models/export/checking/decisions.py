# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A bundle of classifiers beside its cascade."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from mmcascade.models.cascade_classifier import WindowCascadeClassifier
from mmcascade.models.export.checking.reports import ExportReport
from mmcascade.models.export.checking.samples import SAMPLE_COUNT, TOLERANCE, fit_for_sample
from mmcascade.routing import CascadeRouter
from mmcascade.runtime import Bundle, BundleError
from mmcascade.runtime.bundle import Decision
from mmcascade.runtime.preprocessing.images import read_image
from mmcascade.runtime.preprocessing.step import Pixels
from mmcascade.runtime.preprocessing.views import View

_CHUNK = 32

Samples = list[tuple[Path, Decision]]


@torch.no_grad()
def checked_decisions(
    bundle: Bundle,
    model: WindowCascadeClassifier,
    router: CascadeRouter,
    views: Sequence[View],
    images: Sequence[Path],
) -> tuple[ExportReport, Samples]:
    """Compare bundle and cascade image by image.

    Args:
        bundle: as it was written.
        model: the cascade that it was made of.
        router: of the cascade.
        views: what its stages see.
        images: files, from 1.

    Returns:
        What was found, and images that are fit for samples.

    Raises:
        BundleError: if the bundle decides otherwise.
    """
    largest, others = 0.0, 0
    exits: list[int] = []
    accepted: list[bool | None] = []
    samples: Samples = []
    for start in range(0, len(images), _CHUNK):
        files = images[start : start + _CHUNK]
        pixels = [read_image(file) for file in files]
        routed = router.route([_stacked(view, pixels) for view in views])
        assert routed is not None  # no chunk is empty
        outcome = routed.cpu()
        decisions = bundle.decide(pixels)
        for row, (file, decision) in enumerate(zip(files, decisions, strict=True)):
            same = int(outcome.exit_stage[row]) == decision.exit_stage
            if same:
                gap = np.abs(outcome.probs[row].numpy() - decision.probabilities).max()
                largest = max(largest, float(gap))
            same &= model.accept is None or (float(outcome.confidence[row]) >= model.accept) == decision.accepted
            others += not same
            if not same and decision.margin > TOLERANCE:
                raise BundleError(
                    f'the bundle decides otherwise on {file}: it leaves after stage {decision.exit_stage} with '
                    f'confidence {decision.confidence:.6f}, and torch after stage {int(outcome.exit_stage[row])} with '
                    f'{float(outcome.confidence[row]):.6f}, which lies on no bound'
                )
            if same and fit_for_sample(file, decision.margin):
                samples.append((file, decision))
        exits += [decision.exit_stage for decision in decisions]
        accepted += [decision.accepted for decision in decisions]
    if largest > TOLERANCE:
        raise BundleError(f'probabilities of the bundle are off by {largest:.1e}, more than {TOLERANCE:g}')
    reached = tuple(float(np.mean(np.array(exits) > gap)) for gap in range(len(model.stages) - 1))
    share = None if model.accept is None else float(np.mean([bool(yes) for yes in accepted]))
    stages = bundle.manifest.stages
    graphs = tuple(dict.fromkeys(stage.graph for stage in stages))
    fixed = tuple(sorted({stage.member for stage in stages if stage.batch is not None}))
    return ExportReport(len(images), largest, others, reached, share, graphs, fixed), _spread(samples)


def _stacked(view: View, pixels: Sequence[Pixels]) -> torch.Tensor:
    seen = [view(image) for image in pixels]
    if len({image.shape for image in seen}) > 1:
        sizes = sorted({f'{image.shape[1]} x {image.shape[2]}' for image in seen})
        raise ValueError(
            f'a view gives images of several sizes ({", ".join(sizes)}), and a graph takes one; end the pipeline with '
            'a fixed size (CenterCrop, or Resize without keep_ratio)'
        )
    return torch.from_numpy(np.stack(seen))


def _spread(samples: Samples) -> Samples:
    """A few samples, of every exit as many as there are."""
    by_exit: dict[int, Samples] = {}
    for sample in samples:
        by_exit.setdefault(sample[1].exit_stage, []).append(sample)
    chosen: Samples = []
    while len(chosen) < SAMPLE_COUNT and any(by_exit.values()):
        for rest in by_exit.values():
            if rest and len(chosen) < SAMPLE_COUNT:
                chosen.append(rest.pop(0))
    return chosen
