# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What the flags of tools/test.py do to a config."""

from __future__ import annotations

import math
import os.path as osp
import warnings
from collections.abc import Mapping
from numbers import Real
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner

from mmcascade.engine.configs.dataloaders import complete_dataloader
from mmcascade.engine.configs.tta import apply_tta
from mmcascade.engine.loops.deferred_test_loop import BoundError
from mmcascade.registry import MODELS

_NOT_FOR_TESTING = (
    'train_dataloader',
    'train_cfg',
    'optim_wrapper',
    'param_scheduler',
    'val_dataloader',
    'val_cfg',
    'val_evaluator',
)


def is_cascade(cfg: Config) -> bool:
    """Whether the model is a cascade: its type may be a name, or a class in a config of the new style."""
    return getattr(_model_class(cfg), 'is_cascade', False)


def labels_pixels(cfg: Config) -> bool:
    """Whether the model is a cascade of segmentors."""
    return getattr(_model_class(cfg), 'labels_pixels', False)


def _model_class(cfg: Config) -> Any:
    model_type = cfg.model.get('type')
    return MODELS.get(model_type) if isinstance(model_type, str) else model_type


def prepare_test(
    cfg: Config,
    *,
    config_path: str,
    checkpoint: str | None = None,
    work_dir: str | None = None,
    launcher: str = 'none',
    amp: bool = False,
    tta: bool = False,
    show: bool = False,
    show_dir: str | None = None,
    interval: int = 1,
    wait_time: float = 2.0,
    pin_memory: bool = True,
    cfg_options: dict[str, Any] | None = None,
) -> Config:
    """Turn a config into one that a Runner can test, in place.

    Args:
        cfg: the config as read from ``config_path``.
        checkpoint: weights for the whole model; None or 'none' where a cascade's members load their own.

    Raises:
        ValueError: on flags that contradict the config; the message says what to do.
    """
    if cfg_options:
        cfg.merge_from_dict(cfg_options)
    for key in ('test_dataloader', 'test_evaluator'):
        if cfg.get(key) is None:
            raise ValueError(f'{config_path} has no {key}, so there is nothing to test')
    checkpoint = None if checkpoint in (None, 'none') else checkpoint
    if checkpoint is None and cfg.get('load_from') is None and not is_cascade(cfg):
        raise ValueError(
            f'{cfg.model.get("type")} is no cascade and does not load weights of its own; give its '
            'checkpoint after the config'
        )
    for key in _NOT_FOR_TESTING:  # a Runner wants each of these groups whole or not at all
        cfg[key] = None
    cfg.launcher = launcher
    if launcher != 'none' and not torch.cuda.is_available():
        _distribute_on_cpu(cfg)
    cfg.work_dir = work_dir or cfg.get('work_dir') or osp.join('work_dirs', osp.splitext(osp.basename(config_path))[0])
    if checkpoint is not None:
        cfg.load_from = checkpoint
    if cfg.get('test_cfg') is None:
        cfg.test_cfg = dict()
    if amp:
        cfg.test_cfg.fp16 = True
    if show or show_dir is not None:
        _draw(cfg, show, show_dir, interval, wait_time)
    if tta:
        _wrap_in_tta(cfg)
    complete_dataloader(cfg, 'test_dataloader', pin_memory)
    if labels_pixels(cfg):
        _leave_out_what_needs_labels(cfg)
    return cfg


def check_not_empty(runner: Runner) -> None:
    """Say that there is nothing to test before a loader or a metric trips over it.

    Raises:
        SystemExit: if the test split holds no image, or cannot be read.
        BoundError: from a DeferredTestLoop.
    """
    where = 'test_dataloader.dataset: check its annotations, its data_root and its split'
    try:
        images = len(runner.test_dataloader.dataset)
    except BoundError:  # of the loop, which is built with its data loader
        raise
    except (FileNotFoundError, ZeroDivisionError, ValueError, IndexError) as error:
        raise SystemExit(f'error: the test split cannot be read ({error}). See {where}') from error
    if not images:
        raise SystemExit(f'error: the test split is empty. See {where}')


def plain(value: Any) -> Any:
    """Metrics as JSON has them: plain numbers, lists and texts, and null for NaN."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if hasattr(value, 'tolist'):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, Real) and not isinstance(value, bool):
        return None if math.isnan(value) else float(value)
    return value if isinstance(value, (bool, str)) or value is None else str(value)


def _distribute_on_cpu(cfg: Config) -> None:
    """Processes without GPUs: mmengine's own set-up would select a GPU for each."""
    cfg.setdefault('env_cfg', ConfigDict()).setdefault('dist_cfg', ConfigDict()).backend = 'gloo'
    cfg.setdefault(
        'model_wrapper_cfg', ConfigDict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)
    )
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo')


def _draw(cfg: Config, show: bool, show_dir: str | None, interval: int, wait_time: float) -> None:
    hooks = cfg.setdefault('default_hooks', ConfigDict())
    if is_cascade(cfg):
        kind = 'CellVisualizationHook' if labels_pixels(cfg) else 'CascadeVisualizationHook'
        hooks.visualization = dict(type=f'mmcascade.{kind}')
    elif 'visualization' not in hooks:
        raise ValueError(
            '--show and --show-dir need a visualization hook in default_hooks, such as '
            "visualization=dict(type='VisualizationHook')"
        )
    hook = hooks.visualization
    hook.update(show=show, interval=interval, wait_time=wait_time)
    if labels_pixels(cfg):
        hook.update(draw=True, out_dir=show_dir)
    elif hook.type.endswith('SegVisualizationHook'):
        hook.draw = True
        if show_dir is not None:
            cfg.visualizer.save_dir = show_dir
    else:
        hook.update(enable=True, out_dir=show_dir)


def _leave_out_what_needs_labels(cfg: Config) -> None:
    """MMSegmentation's IoUMetric fails on images without annotation, the others do without."""
    if all(
        any(_type_name(transform) == 'LoadAnnotations' for transform in pipeline)
        for pipeline in _pipelines(cfg.test_dataloader.dataset)
    ):
        return
    evaluator = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    kept = [metric for metric in evaluator if _type_name(metric) != 'IoUMetric' or metric.get('format_only')]
    if len(kept) < len(evaluator):
        warnings.warn(
            'the pipeline of test_dataloader loads no annotations, so IoUMetric is left out; '
            "IoUMetric(format_only=True, output_dir='...') writes the predictions as pictures",
            stacklevel=3,
        )
        cfg.test_evaluator = kept


def _pipelines(dataset: Mapping[str, Any]) -> list[Any]:
    """Of a data set, or of those that it wraps or joins."""
    inner = [dataset['dataset']] if 'dataset' in dataset else dataset.get('datasets', [])
    if inner:
        return [pipeline for each in inner for pipeline in _pipelines(each)]
    return [dataset['pipeline']] if dataset.get('pipeline') else []


def _type_name(config: Mapping[str, Any]) -> str:
    kind = config.get('type')
    return (kind if isinstance(kind, str) else getattr(kind, '__name__', '')).rpartition('.')[2]


def _wrap_in_tta(cfg: Config) -> None:
    if is_cascade(cfg):
        apply_tta(cfg)
        return
    if 'tta_model' not in cfg and cfg.get('default_scope') == 'mmpretrain':
        cfg.tta_model = dict(type='mmpretrain.AverageClsScoreTTA')
        *transforms, pack = cfg.test_dataloader.dataset.pipeline
        flips = [dict(type='RandomFlip', prob=1.0), dict(type='RandomFlip', prob=0.0)]
        cfg.tta_pipeline = [*transforms, dict(type='TestTimeAug', transforms=[flips, [pack]])]
    if 'tta_model' not in cfg or 'tta_pipeline' not in cfg:
        raise ValueError('--tta needs tta_model and tta_pipeline in the config')
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
