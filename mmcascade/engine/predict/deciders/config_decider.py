# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A cascade of a config, ready to decide, and what tells it from others."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Self, TypeVar, cast

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmcascade.engine.predict.deciders.decider import Decider
from mmcascade.engine.predict.deciders.loading import pipeline_of
from mmcascade.engine.predict.rows.row import Result
from mmcascade.models.cascade_model import CascadeModel
from mmcascade.models.cascades import task_of
from mmcascade.registry import MODELS

Model = TypeVar('Model', bound=CascadeModel)


class ConfigDecider(Decider[Result], Generic[Model, Result]):
    """A cascade that a config describes, on images that its test pipeline prepares one by one.

    Args:
        model: the cascade, ready to test.
        pipeline: of its test data set, from loading to packing.
        fingerprint: see the base class.
    """

    def __init__(self, model: Model, pipeline: Sequence[Mapping[str, Any]], fingerprint: str) -> None:
        self.model = model
        self.stages = len(model.stages)
        self.classes = tuple(model.classes) if model.classes else None
        self.accepts = model.accept is not None
        self.fingerprint = fingerprint
        self.prepare(pipeline)

    @abstractmethod
    def prepare(self, pipeline: Sequence[Mapping[str, Any]]) -> None:
        """Build what makes views of an image."""

    @classmethod
    def of_config(cls, cfg: Config, path: Path) -> Self:
        """The calibrated cascade of a config, which was read from a path.

        Raises:
            ValueError: if it has no test pipeline.
            NotReadyError, CalibrationError: if weights or thresholds are missing, or do not belong together.
        """
        pipeline = pipeline_of(cfg, path)
        model = _built(cfg)
        return cls(cast(Model, model), pipeline, _fingerprint(cfg, pipeline, model))


def _built(cfg: Config) -> CascadeModel:
    """The cascade of a config on the fastest device that there is."""
    init_default_scope(cfg.get('default_scope', 'mmseg' if task_of(cfg) == 'segmentation' else 'mmpretrain'))
    model: CascadeModel = MODELS.build(cfg.model).to('cuda' if torch.cuda.is_available() else 'cpu')
    model.eval()
    model.ready()
    return model


def _fingerprint(cfg: Config, pipeline: Sequence[Mapping[str, Any]], model: CascadeModel) -> str:
    """Of everything that a decision depends on: files beside the config may be other ones by the next run."""
    told = [repr(cfg.model.to_dict()), repr(model.router and model.router.policy), repr(model.accept)]
    weights = json.dumps(model.identity().to_json())
    prepared = repr([dict(step) for step in pipeline])
    return hashlib.sha256('\n'.join([*told, weights, prepared]).encode()).hexdigest()[:16]
