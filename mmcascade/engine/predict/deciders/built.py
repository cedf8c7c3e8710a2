# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A cascade of a config, ready to decide, and what tells it from others."""

from __future__ import annotations

import hashlib

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmcascade.models.cascade_model import CascadeModel
from mmcascade.models.cascades import task_of
from mmcascade.registry import MODELS


def built_cascade(cfg: Config) -> CascadeModel:
    """The cascade of a config on the fastest device that there is.

    Raises:
        NotReadyError, CalibrationError: if weights or thresholds are missing, or do not belong together.
    """
    init_default_scope(cfg.get('default_scope', 'mmseg' if task_of(cfg) == 'segmentation' else 'mmpretrain'))
    model: CascadeModel = MODELS.build(cfg.model).to('cuda' if torch.cuda.is_available() else 'cpu')
    model.eval()
    model.ready()
    return model


def fingerprint_of(cfg: Config, model: CascadeModel) -> str:
    """Of everything that a decision depends on and that is not on disk beside it."""
    parts = [repr(cfg.model.to_dict()), repr(model.router and model.router.policy), repr(model.accept)]
    return hashlib.sha256('\n'.join(parts).encode()).hexdigest()[:16]
