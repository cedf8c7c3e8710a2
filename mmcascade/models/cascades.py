# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Whether something is a cascade: a model, or what a config describes."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config
from mmengine.model import is_model_wrapper
from torch import nn

from mmcascade.models.cascade_model import CascadeModel
from mmcascade.registry import MODELS


def cascade_of(model: nn.Module) -> CascadeModel | None:
    """The cascade that a model is, itself or inside a wrapper for distributed runs; None if it is none.

    Example:
        >>> cascade_of(nn.Linear(2, 2)) is None
        True
    """
    inner = model.module if is_model_wrapper(model) else model
    return inner if isinstance(inner, CascadeModel) else None


def task_of(cfg: Config) -> str | None:
    """The task of the cascade that a config describes, 'classification' or 'segmentation'; None if it is none."""
    kind = cascade_class(cfg)
    return None if kind is None else kind.task


def cascade_class(cfg: Config) -> type[CascadeModel] | None:
    """The class of the cascade that a config describes; None if its model is none, or cannot be built here.

    The type of the model may be a name, or a class in a config of the new style.

    Raises:
        ValueError: on a name in the scope of mmcascade that is none of its models.
    """
    kind: Any = cfg.model.get('type')
    if isinstance(kind, str):
        name, kind = kind, MODELS.get(kind)
        if kind is None and name.startswith('mmcascade.'):
            raise ValueError(f'there is no model {name!r}')
    return kind if isinstance(kind, type) and issubclass(kind, CascadeModel) else None
