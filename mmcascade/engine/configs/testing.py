# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What the flags of tools/test.py do to a config."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import torch
from mmengine.config import Config, ConfigDict

from mmcascade.engine.configs.dataloaders import complete_dataloader
from mmcascade.engine.configs.datasets import pipelines, transform_names, type_name
from mmcascade.engine.configs.run_flags import RunFlags
from mmcascade.engine.configs.seg_tta import apply_seg_tta
from mmcascade.engine.configs.tta import apply_tta
from mmcascade.models.cascades import cascade_class, task_of

_DRAWING = {
    'classification': 'mmcascade.CascadeVisualizationHook',
    'segmentation': 'mmcascade.CellVisualizationHook',
}
_NOT_FOR_TESTING = (
    'train_dataloader',
    'train_cfg',
    'optim_wrapper',
    'param_scheduler',
    'val_dataloader',
    'val_cfg',
    'val_evaluator',
)


@dataclass(frozen=True)
class Drawing:
    """Pictures of the predictions.

    Attributes:
        show: open a window for each picture.
        show_dir: folder for them.
        interval: draw every so many images.
        wait_time: seconds that a window stays.
    """

    show: bool = False
    show_dir: str | None = None
    interval: int = 1
    wait_time: float = 2.0

    @property
    def wanted(self) -> bool:
        """Whether anything is drawn."""
        return self.show or self.show_dir is not None


@dataclass(frozen=True)
class EvalFlags(RunFlags):
    """How a config is tested, beside what every run is told.

    Attributes:
        config_path: of the config; names the work folder, and messages.
        checkpoint: weights for the whole model; None or 'none' where a cascade's members load their own.
        tta: test-time augmentation.
        drawing: pictures of the predictions.
    """

    config_path: str
    checkpoint: str | None = None
    tta: bool = False
    drawing: Drawing = field(default_factory=Drawing)


def prepare_test(cfg: Config, flags: EvalFlags) -> Config:
    """Turn a config into one that a Runner can test, in place.

    Args:
        cfg: the config as read from ``flags.config_path``.
        flags: how it is tested.

    Raises:
        ValueError: on flags that contradict the config; the message says what to do.
    """
    config_path, checkpoint = flags.config_path, flags.checkpoint
    _check_shape(cfg, config_path)
    for key in ('test_dataloader', 'test_evaluator'):
        if not cfg.get(key):
            raise ValueError(f'{config_path} has no {key}, so there is nothing to test')
    if not isinstance(cfg.test_dataloader.get('dataset'), dict):
        raise ValueError(
            f'test_dataloader.dataset of {config_path} is the dict(type=...) of a data set, got '
            f'{cfg.test_dataloader.get("dataset")!r}'
        )
    checkpoint = None if checkpoint in (None, 'none') else checkpoint
    if checkpoint is None and cfg.get('load_from') is None and cascade_class(cfg) is None:
        raise ValueError(
            f'{cfg.model.get("type")} is no cascade and does not load weights of its own; give its '
            'checkpoint after the config'
        )
    for key in _NOT_FOR_TESTING:  # a Runner wants each of these groups whole or not at all
        cfg[key] = None
    flags.place(cfg, config_path)
    if flags.launcher != 'none' and not torch.cuda.is_available():
        _distribute_on_cpu(cfg)
    if checkpoint is not None:
        cfg.load_from = checkpoint
    if cfg.get('test_cfg') is None:
        cfg.test_cfg = dict()
    if flags.amp:
        cfg.test_cfg.fp16 = True
    if flags.drawing.wanted:
        _draw(cfg, flags.drawing)
    labels_pixels = task_of(cfg) == 'segmentation'
    if flags.tta:
        _wrap_in_tta(cfg)
    complete_dataloader(cfg, 'test_dataloader', flags.pin_memory)
    if labels_pixels:
        _leave_out_what_needs_labels(cfg)
    return cfg


def _check_shape(cfg: Config, config_path: str) -> None:
    """What a command line or a mistake may have made of the groups of a config."""
    for key in ('model', 'test_dataloader', 'test_cfg'):
        group = cfg.get(key)
        if group is not None and not isinstance(group, dict):
            raise ValueError(f'{key} of {config_path} is a dict(...), got {group!r}')
    if cfg.get('model') is None:
        raise ValueError(f'{config_path} has no model')


def _distribute_on_cpu(cfg: Config) -> None:
    """Processes without GPUs: mmengine's own set-up would select a GPU for each."""
    cfg.setdefault('env_cfg', ConfigDict()).setdefault('dist_cfg', ConfigDict()).backend = 'gloo'
    cfg.setdefault(
        'model_wrapper_cfg', ConfigDict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)
    )
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo')


def _draw(cfg: Config, drawing: Drawing) -> None:
    hooks = cfg.setdefault('default_hooks', ConfigDict())
    if (task := task_of(cfg)) is not None:
        hooks.visualization = dict(type=_DRAWING[task])
    elif 'visualization' not in hooks:
        raise ValueError(
            '--show and --show-dir need a visualization hook in default_hooks, such as '
            "visualization=dict(type='VisualizationHook')"
        )
    hook = hooks.visualization
    hook.update(show=drawing.show, interval=drawing.interval, wait_time=drawing.wait_time)
    if task_of(cfg) == 'segmentation':
        hook.update(draw=True, out_dir=drawing.show_dir)
    elif hook.type.endswith('SegVisualizationHook'):
        hook.draw = True
        if drawing.show_dir is not None:
            cfg.visualizer.save_dir = drawing.show_dir
    else:
        hook.update(enable=True, out_dir=drawing.show_dir)


def _leave_out_what_needs_labels(cfg: Config) -> None:
    """MMSegmentation's IoUMetric fails on images without annotation, the others do without."""
    if all(
        'LoadAnnotations' in transform_names(pipeline)
        for pipeline in pipelines(cfg.test_dataloader.dataset)
        if pipeline
    ):
        return
    evaluator = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    kept = [metric for metric in evaluator if type_name(metric) != 'IoUMetric' or metric.get('format_only')]
    if len(kept) < len(evaluator):
        warnings.warn(
            'the pipeline of test_dataloader loads no annotations, so IoUMetric is left out; '
            "IoUMetric(format_only=True, output_dir='...') writes the predictions as pictures",
            stacklevel=3,
        )
        cfg.test_evaluator = kept


def _wrap_in_tta(cfg: Config) -> None:
    if (task := task_of(cfg)) is not None:
        (apply_seg_tta if task == 'segmentation' else apply_tta)(cfg)
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
