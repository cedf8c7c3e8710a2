# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What the metafiles and configs of a library say of its networks."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from mmengine.config import Config

from mmcascade.models.members.zoo import ZooModel

_NO_PART = ('loss', 'init_cfg', 'pretrained', 'train_cfg', 'num_classes', 'data_preprocessor', 'auxiliary_head')


def told(model: ZooModel, name: str) -> float:
    """A number that the metafile gives for a network, such as 'Parameters'; 0 where it gives none."""
    value = _metadata(model.metafile).get(model.name, {}).get(name)
    return float(value) if isinstance(value, (int, float)) else 0.0


def network_key(config: Any) -> str:
    """Equal for model configs that make the same network at test time."""
    return json.dumps(_network(config), default=str, sort_keys=True)


def own_size(model: ZooModel) -> int:
    """The side of the images that a config tests with."""
    config = Config.fromfile(model.config)
    steps = config.get('test_pipeline') or []
    sides = [step.get(key) for step in steps for key in ('crop_size', 'scale') if step.get(key)]
    side = sides[-1] if sides else 224
    return int(side if isinstance(side, int) else min(side))


def _network(config: Any) -> Any:
    if isinstance(config, dict):
        return {key: _network(value) for key, value in config.items() if key not in _NO_PART}
    return [_network(value) for value in config] if isinstance(config, (list, tuple)) else config


@lru_cache
def _metadata(metafile: Path) -> dict[str, dict[str, Any]]:
    content = yaml.safe_load(metafile.read_text())
    models = content['Models'] if isinstance(content, dict) else content
    return {str(model['Name']): model.get('Metadata') or {} for model in models}
