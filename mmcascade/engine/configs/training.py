# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What the flags of tools/train.py do to a config."""

from __future__ import annotations

import os.path as osp
from typing import Any

from mmengine.config import Config

from mmcascade.engine.configs.dataloaders import complete_dataloader
from mmcascade.engine.configs.testing import is_cascade


def prepare_train(
    cfg: Config,
    *,
    config_path: str,
    work_dir: str | None = None,
    resume: str | None = None,
    amp: bool = False,
    validate: bool = True,
    auto_scale_lr: bool = False,
    launcher: str = 'none',
    pin_memory: bool = True,
    persistent_workers: bool = True,
    cfg_options: dict[str, Any] | None = None,
) -> Config:
    """Turn a config into one that a Runner can train, in place.

    Args:
        cfg: The config as read from ``config_path``.
        resume: 'auto' to go on from the latest checkpoint in the work folder, if there is one;
            or the path of a checkpoint.

    Raises:
        ValueError: On flags that contradict the config; the message says what to do.
    """
    if cfg_options:
        cfg.merge_from_dict(cfg_options)
    if is_cascade(cfg):
        raise ValueError(
            f'{config_path} is a cascade, which has no loss: train its members one by one, each '
            'with a config of its own, and name their checkpoints in members=dict(...)'
        )
    for key in ('train_dataloader', 'train_cfg', 'optim_wrapper'):
        if cfg.get(key) is None:
            raise ValueError(f'{config_path} has no {key}, so there is nothing to train')
    cfg.launcher = launcher
    cfg.work_dir = work_dir or cfg.get('work_dir') or osp.join('work_dirs', osp.splitext(osp.basename(config_path))[0])
    if resume is not None:
        cfg.resume, cfg.load_from = True, None if resume == 'auto' else resume
    if amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise ValueError(
                f'--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in {config_path}: '
                'the batch size, over all devices, that its learning rate was made for'
            )
        cfg.auto_scale_lr.enable = True
    if not validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if cfg.get(key) is not None:
            complete_dataloader(cfg, key, pin_memory)
            cfg[key].setdefault('persistent_workers', cfg[key].get('num_workers', 0) > 0)
            if not persistent_workers:
                cfg[key].persistent_workers = False
    return cfg
