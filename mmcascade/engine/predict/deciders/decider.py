# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What decides: a bundle, or a cascade of a config."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Generic

from mmcascade.engine.predict.request import PredictRequest
from mmcascade.engine.predict.rows.decisions import DecisionRows
from mmcascade.engine.predict.rows.row import Result, RowFormat
from mmcascade.runtime import Bundle, Decision, Failure

#: The file that makes a folder a bundle.
BUNDLE = 'cascade.json'


class Decider(ABC, Generic[Result]):
    """Decides on images, a batch at a time.

    Attributes:
        task: 'classification', or 'segmentation' where results are label maps.
        stages: how many a unit may run.
        classes: names of the classes, where they are known.
        accepts: whether it has an accept threshold.
        fingerprint: of the cascade, so that decisions of two are not mixed.
        batch_size: images at a time, where no number is asked for.
    """

    task: str = 'classification'
    stages: int
    classes: tuple[str, ...] | None
    accepts: bool
    fingerprint: str
    batch_size: int = 32

    @abstractmethod
    def decide(self, images: Sequence[Path | bytes], first_unit: int = 0) -> Sequence[Result | Failure]:
        """One result per image, in their order, as :meth:`rows` takes them; one that cannot be read is a Failure.

        Args:
            images: paths, or contents of files.
            first_unit: running number of the first, for policies that draw.
        """

    @abstractmethod
    def rows(self, request: PredictRequest) -> RowFormat[Result]:
        """How its results are told.

        Raises:
            ValueError: if something is asked for that it cannot give.
        """


def decision_rows(decider: Decider[Decision], request: PredictRequest) -> DecisionRows:
    """How decisions on whole images are told.

    Raises:
        ValueError: if something is asked for that the decider cannot give.
    """
    if request.maps_to is not None:
        raise ValueError('label maps come from cascades of segmentors, and this one classifies; leave out --maps-to')
    check_rejected(request, decider.accepts)
    return DecisionRows(decider.classes, request.top, decider.stages if request.stage_scores else 0)


def check_rejected(request: PredictRequest, accepts: bool) -> None:
    """Raise ValueError if rejected images are asked for where nothing is rejected."""
    if request.rejected_to is not None and not accepts:
        raise ValueError(
            'the cascade has no accept threshold, so it rejects nothing; leave --rejected-to out, or calibrate it '
            'for a risk= or coverage= that it can reach'
        )


def only_maps(request: PredictRequest, accepts: bool) -> None:
    """Raise ValueError if something is asked for that cascades of segmentors do not give, or this one does not."""
    check_rejected(request, accepts)
    asked = {'--top': request.top, '--stage-scores': request.stage_scores}
    if wrong := [flag for flag, value in asked.items() if value]:
        raise ValueError(
            f'{wrong[0]} is for cascades of classifiers, and this one labels pixels; leave it out (--maps-to DIR '
            'writes label maps)'
        )


class BundleDecider(Decider[Decision]):
    """A bundle, which needs no torch.

    Args:
        folder: that ``mmcascade export`` made.
    """

    def __init__(self, folder: Path) -> None:
        self.bundle = Bundle(folder)
        self.stages = len(self.bundle.manifest.stages)
        self.classes = self.bundle.manifest.classes
        self.accepts = self.bundle.manifest.accept is not None
        self.fingerprint = hashlib.sha256((folder / BUNDLE).read_bytes()).hexdigest()[:16]

    def rows(self, request: PredictRequest) -> DecisionRows:
        """See the base class."""
        return decision_rows(self, request)

    def decide(self, images: Sequence[Path | bytes], first_unit: int = 0) -> list[Decision | Failure]:
        """See the base class."""
        return list(self.bundle.decide_each(images, max(1, len(images)), first_unit))
