# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Data loaders of a config: what each gets unless it says otherwise, and one that keeps the order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset


def complete_dataloader(cfg: Config, key: str, pin_memory: bool = True) -> None:
    """Fill in how images are joined to batches, and pinned memory where a GPU uses it, in place.

    What only workers use is left out where there are none.

    Args:
        cfg: the config.
        key: of the loader, such as 'test_dataloader'.
        pin_memory: False turns it off whatever the config says.
    """
    loader = cfg[key]
    if cfg.get('default_scope') != 'mmseg':
        loader.setdefault('collate_fn', dict(type='default_collate'))
    if not loader.get('num_workers'):  # the libraries' base configs set these for workers, and one debugs without any
        for name in ('persistent_workers', 'prefetch_factor'):
            loader.pop(name, None)
    loader.setdefault('pin_memory', torch.cuda.is_available())
    if not pin_memory:
        loader.pin_memory = False


def ordered_loader(config: Mapping[str, Any], dataset: Dataset) -> DataLoader:
    """The loader of a config over another data set, in its order and to its end."""
    config = dict(config, dataset=dataset, sampler=dict(type='DefaultSampler', shuffle=False))
    config.setdefault('collate_fn', dict(type='default_collate'))
    config.pop('drop_last', None)
    return Runner.build_dataloader(config)
