# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What the flags of tools/train.py do to a config."""

from __future__ import annotations

from dataclasses import dataclass

from mmengine.config import Config

from mmcascade.engine.configs.dataloaders import complete_dataloader
from mmcascade.engine.configs.run_flags import RunFlags
from mmcascade.models.cascades import cascade_class


@dataclass(frozen=True)
class TrainFlags(RunFlags):
    """How a config is trained, beside what every run is told.

    Attributes:
        config_path: of the config; names the work folder, and messages.
        resume: 'auto' to go on from the latest checkpoint in the work folder, if there is one; or the path of one.
        validate: evaluate in between.
        auto_scale_lr: scale the learning rate by the real batch size over the one that the config was made for.
        persistent_workers: False turns them off whatever the config says.
    """

    config_path: str
    resume: str | None = None
    validate: bool = True
    auto_scale_lr: bool = False
    persistent_workers: bool = True


def prepare_train(cfg: Config, flags: TrainFlags) -> Config:
    """Turn a config into one that a Runner can train, in place.

    Args:
        cfg: the config as read from ``flags.config_path``.
        flags: how it is trained.

    Raises:
        ValueError: on flags that contradict the config; the message says what to do.
    """
    config_path = flags.config_path
    if cfg.get('model') is None:
        raise ValueError(f'{config_path} has no model')
    if cascade_class(cfg) is not None:
        raise ValueError(
            f'{config_path} is a cascade, which has no loss: train its members one by one, each '
            'with a config of its own, and name their checkpoints in members=dict(...)'
        )
    for key in ('train_dataloader', 'train_cfg', 'optim_wrapper'):
        if cfg.get(key) is None:
            raise ValueError(f'{config_path} has no {key}, so there is nothing to train')
    flags.place(cfg, config_path)
    if flags.resume is not None:
        cfg.resume, cfg.load_from = True, None if flags.resume == 'auto' else flags.resume
    if flags.amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if flags.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise ValueError(
                f'--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in {config_path}: '
                'the batch size, over all devices, that its learning rate was made for'
            )
        cfg.auto_scale_lr.enable = True
    if not flags.validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if cfg.get(key) is not None:
            complete_dataloader(cfg, key, flags.pin_memory)
            cfg[key].setdefault('persistent_workers', cfg[key].get('num_workers', 0) > 0)
            if not flags.persistent_workers:
                cfg[key].persistent_workers = False
    return cfg
