# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The cascade of a config, on images one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from numpy.typing import NDArray
from torch import Tensor

from mmcascade.engine.configs.datasets import type_name
from mmcascade.engine.predict.deciders.config_decider import ConfigDecider
from mmcascade.engine.predict.deciders.decider import decision_rows
from mmcascade.engine.predict.deciders.lazy_views import LazyViews, MakeView, ViewError
from mmcascade.engine.predict.deciders.loading import LOADING, Loading, each, load_image
from mmcascade.engine.predict.deciders.running_scores import RunningScores
from mmcascade.engine.predict.request import PredictRequest
from mmcascade.engine.predict.rows.decisions import DecisionRows
from mmcascade.models.cascade_classifier import WindowCascadeClassifier
from mmcascade.routing import Outcome
from mmcascade.runtime import Decision, Failure, StageScore

_PACKING = ('PackInputs', 'LoadAnnotations')


class ModelDecider(ConfigDecider[WindowCascadeClassifier, Decision]):
    """A cascade of classifiers; views of later stages are made for the images that get there."""

    def prepare(self, pipeline: Sequence[Mapping[str, Any]]) -> None:
        """See the base class."""
        self.loading = Loading.of(pipeline)
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            self.makers = [_by_pipeline(steps) for steps in _views(pipeline)]

    def rows(self, request: PredictRequest) -> DecisionRows:
        """See the base class."""
        return decision_rows(self, request)

    @torch.no_grad()
    def decide(self, images: Sequence[Path | bytes], first_unit: int = 0) -> list[Decision | Failure]:
        """See the base class."""
        made = each(images, lambda place, image: (load_image(image, self.loading), first_unit + place))
        good = [one for one in made if not isinstance(one, Failure)]
        decisions = iter(self._decisions([image for image, _ in good], [unit for _, unit in good]))
        return [one if isinstance(one, Failure) else next(decisions) for one in made]

    def _decisions(self, loaded: Sequence[NDArray[np.uint8]], units: Sequence[int]) -> list[Decision | Failure]:
        if not loaded:
            return []
        router = self.model.ready()
        told = RunningScores()
        try:
            with told.watching(router):
                outcome = router.route(LazyViews(loaded, self.makers), units)
        except ViewError as error:
            if len(loaded) == 1:
                return [Failure(str(error))]
            pairs = zip(loaded, units, strict=True)
            return [found for image, unit in pairs for found in self._decisions([image], [unit])]
        assert outcome is not None
        return self._read(outcome.cpu(), told.of(len(loaded)))

    def _read(self, outcome: Outcome, stages: Sequence[tuple[StageScore, ...]]) -> list[Decision | Failure]:
        accept, classes = self.model.accept, self.model.classes
        probs = outcome.probs.float().numpy()
        labels = probs.argmax(1).tolist()
        # Compared as the model does it, in the precision of the scores.
        accepted = (outcome.confidence >= accept).tolist() if accept is not None else [None] * len(labels)
        rows = zip(
            labels, outcome.confidence.tolist(), accepted, outcome.exit_stage.tolist(), outcome.macs.tolist(), probs,
            stages, strict=True,
        )  # fmt: skip
        return [
            Decision(label, classes[label] if classes else None, score, accepted, stage, macs, row, stages=running)
            for label, score, accepted, stage, macs, row, running in rows
        ]


def _views(pipeline: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The transforms of each view, between loading and packing."""
    steps = [step for step in pipeline if type_name(step) not in (LOADING, *_PACKING)]
    at = [index for index, step in enumerate(steps) if type_name(step) == 'MultiView']
    if not at:
        return [steps]
    before, multi, after = steps[: at[0]], steps[at[0]], steps[at[0] + 1 :]
    counts = multi['num_views']
    counts = [counts] * len(multi['transforms']) if isinstance(counts, int) else counts
    pairs = zip(counts, multi['transforms'], strict=True)
    return [[*before, *own, *after] for count, own in pairs for _ in range(count)]


def _by_pipeline(steps: Sequence[Mapping[str, Any]]) -> MakeView:
    transforms = Compose([dict(step) for step in steps])

    def make(image: NDArray[Any]) -> Tensor:
        size = image.shape[:2]
        found = transforms(dict(img=image, img_shape=size, ori_shape=size))['img']
        found = found[..., None] if found.ndim == 2 else found
        return torch.from_numpy(np.ascontiguousarray(found.transpose(2, 0, 1)))

    return make
