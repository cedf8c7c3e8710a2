# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Cascades of segmentors with and without joined cells, as configs."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from mmengine.config import Config


def joins_cells(cfg: Config) -> bool:
    """Whether a stage of a cascade joins the cells that go on."""
    stages = cfg.model.get('stages') or ()
    return any(isinstance(stage, Mapping) and stage.get('join') is not None for stage in stages)


def without_join(cfg: Config) -> Config:
    """The same cascade with a crop around each cell."""
    changed = copy.deepcopy(cfg)
    for stage in changed.model.stages:
        stage.pop('join', None)
    return changed
