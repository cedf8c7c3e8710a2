# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The cascade of a config, on images one by one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope, init_default_scope
from numpy.typing import NDArray
from torch import Tensor

from mmcascade.engine.configs.datasets import pipelines, type_name
from mmcascade.engine.console.configs import read_config
from mmcascade.engine.predict.decider import Decider
from mmcascade.engine.predict.lazy_views import LazyViews, MakeView, UnequalError
from mmcascade.models.cascade_classifier import WindowCascadeClassifier
from mmcascade.models.cascades import cascade_class
from mmcascade.registry import MODELS
from mmcascade.routing import Outcome
from mmcascade.runtime import Decision, Failure

_LOADING = 'LoadImageFromFile'
_PACKING = ('PackInputs', 'LoadAnnotations')


class ModelDecider(Decider):
    """A cascade of classifiers; views of later stages are made for the images that get there.

    Args:
        model: the cascade, ready to test.
        pipeline: of its test data set, from loading to packing.
        fingerprint: see the base class.
    """

    def __init__(self, model: WindowCascadeClassifier, pipeline: Sequence[Mapping[str, Any]], fingerprint: str) -> None:
        self.model = model
        self.stages = len(model.stages)
        self.classes = model.classes
        self.accepts = model.accept is not None
        self.fingerprint = fingerprint
        loading = [step for step in pipeline if type_name(step) == _LOADING]
        self.color_type = loading[0].get('color_type', 'color') if loading else 'color'
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            self.makers = [_maker(steps) for steps in _views(pipeline)]

    @classmethod
    def of_config(cls, path: Path) -> ModelDecider:
        """The calibrated cascade of a config.

        Raises:
            ValueError: if it is no cascade of classifiers, or has no test pipeline.
        """
        cfg = read_config(path)
        if cascade_class(cfg) is not WindowCascadeClassifier:
            raise ValueError(f'{path} is no cascade of classifiers; its model is {cfg.get("model", {}).get("type")!r}')
        found = pipelines((cfg.get('test_dataloader') or {}).get('dataset'))
        if not found:
            raise ValueError(f'{path} has no test_dataloader with a pipeline, so how images are prepared is not known')
        init_default_scope(cfg.get('default_scope', 'mmpretrain'))
        model = MODELS.build(cfg.model).to('cuda' if torch.cuda.is_available() else 'cpu')
        model.ready()
        return cls(model, found[0], _fingerprint(cfg, model))

    @torch.no_grad()
    def decide(self, images: Sequence[Path | bytes], first_unit: int = 0) -> list[Decision | Failure]:
        """See the base class."""
        results: list[Decision | Failure | None] = []
        loaded, units = [], []
        for number, image in enumerate(images, first_unit):
            try:
                loaded.append(self._loaded(image))
                units.append(number)
                results.append(None)
            except Exception as error:  # of any reader of images, for any broken file
                results.append(Failure(str(error) or type(error).__name__))
        decisions = iter(self._decisions(loaded, units))
        return [next(decisions) if result is None else result for result in results]

    def _loaded(self, image: Path | bytes) -> NDArray[np.uint8]:
        content = image if isinstance(image, bytes) else image.read_bytes()
        name = 'it' if isinstance(image, bytes) else str(image)
        found = mmcv.imfrombytes(content, flag=self.color_type) if content else None
        if found is None:
            raise ValueError(f'{name} is no image, or cut off')
        return found

    def _decisions(self, loaded: Sequence[NDArray[np.uint8]], units: Sequence[int]) -> list[Decision]:
        if not loaded:
            return []
        router = self.model.ready()
        try:
            outcome = router.route(LazyViews(loaded, self.makers), units)
        except UnequalError:
            if len(loaded) == 1:
                raise
            pairs = zip(loaded, units, strict=True)
            return [found for image, unit in pairs for found in self._decisions([image], [unit])]
        assert outcome is not None
        return self._read(outcome.cpu())

    def _read(self, outcome: Outcome) -> list[Decision]:
        accept, classes = self.model.accept, self.model.classes
        probs = outcome.probs.float().numpy()
        labels = probs.argmax(1).tolist()
        # Compared as the model does it, in the precision of the scores.
        accepted = (outcome.confidence >= accept).tolist() if accept is not None else [None] * len(labels)
        rows = zip(
            labels, outcome.confidence.tolist(), accepted, outcome.exit_stage.tolist(), outcome.macs.tolist(), probs,
            strict=True,
        )  # fmt: skip
        return [
            Decision(label, classes[label] if classes else None, score, accepted, stage, macs, row)
            for label, score, accepted, stage, macs, row in rows
        ]


def _views(pipeline: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The transforms of each view, between loading and packing."""
    steps = [step for step in pipeline if type_name(step) not in (_LOADING, *_PACKING)]
    at = [index for index, step in enumerate(steps) if type_name(step) == 'MultiView']
    if not at:
        return [steps]
    before, multi, after = steps[: at[0]], steps[at[0]], steps[at[0] + 1 :]
    counts = multi['num_views']
    counts = [counts] * len(multi['transforms']) if isinstance(counts, int) else counts
    pairs = zip(counts, multi['transforms'], strict=True)
    return [[*before, *own, *after] for count, own in pairs for _ in range(count)]


def _maker(steps: Sequence[Mapping[str, Any]]) -> MakeView:
    transforms = Compose([dict(step) for step in steps])

    def make(image: NDArray[np.uint8]) -> Tensor:
        size = image.shape[:2]
        found = transforms(dict(img=image, img_shape=size, ori_shape=size))['img']
        found = found[..., None] if found.ndim == 2 else found
        return torch.from_numpy(np.ascontiguousarray(found.transpose(2, 0, 1)))

    return make


def _fingerprint(cfg: Config, model: WindowCascadeClassifier) -> str:
    parts = [repr(cfg.model.to_dict()), repr(model.router and model.router.policy), repr(model.accept)]
    return hashlib.sha256('\n'.join(parts).encode()).hexdigest()[:16]
