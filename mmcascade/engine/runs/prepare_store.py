# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""From a cascade's config to the scores that its calibration is fitted on."""

from __future__ import annotations

import ast
import copy
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

from mmcascade._system.progress import Progress, no_progress
from mmcascade.calibration.stores import AnyStore, CellStore
from mmcascade.calibration.stores.identity import CascadeIdentity
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.datasets.broken_images import name_broken_images
from mmcascade.datasets.unit_keys import check_disjoint, unit_keys
from mmcascade.engine.configs.classes import check_dataset
from mmcascade.engine.runs.filling.ignored_label import ignored_label
from mmcascade.engine.runs.filling.job import Discard, StoreJob
from mmcascade.engine.runs.filling.score_filler import ScoreFiller, true_labels
from mmcascade.models.cascade_model import CascadeModel
from mmcascade.models.cascades import cascade_class, task_of
from mmcascade.registry import MODELS

CALIBRATION = 'val_dataloader'

Kind = TypeVar('Kind', ScoreStore, CellStore)


def prepare_store(
    cfg: Config,
    folder: str | Path,
    dataloader: str = CALIBRATION,
    *,
    amp: bool = False,
    device: str | None = None,
    progress: Progress = no_progress,
    labels: Callable[[list[Any]], np.ndarray] = true_labels,
    discard: Discard | None = None,
) -> tuple[AnyStore, CascadeIdentity]:
    """Build the cascade of a config and fill a store with its scores on one of its splits.

    Args:
        cfg: config of the cascade; its policy, calibration and accept threshold are not read.
        folder: of the store; one that is there already is gone on with.
        dataloader: key of the split, by default that of the calibration split, which must share no image with
            ``test_dataloader``.
        amp: run the members in mixed precision.
        device: by default 'cuda' where there is a GPU, else 'cpu'.
        progress: called with the number of finished and of all images.
        labels: from data samples to labels, by default the true ones.
        discard: told why a store that does not fit is deleted and filled again; None = that is an error.

    Returns:
        The store, which holds cells if the cascade segments, and the cascade's identity.

    Raises:
        ValueError: without that split, or if the calibration split shares images with the test split.
        NotReadyError: if a member has no weights.
    """
    device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
    job = store_job(cfg, folder, dataloader, device=device, progress=progress, labels=labels, discard=discard)
    with torch.autocast(device, enabled=amp):
        if task_of(cfg) == 'segmentation':
            from mmcascade.engine.runs.filling.cell_filler import CellFiller  # needs MMSegmentation

            return CellFiller(job, ignored_label(cfg, job.dataset)).fill(), job.model.identity()
        return ScoreFiller(job, labels).fill(), job.model.identity()


def of_kind(kind: type[Kind], prepared: tuple[AnyStore, CascadeIdentity]) -> tuple[Kind, CascadeIdentity]:
    """What :func:`prepare_store` gave, where the cascade's task is known."""
    store, identity = prepared
    assert isinstance(store, kind)
    return store, identity


def store_job(
    cfg: Config,
    folder: str | Path,
    dataloader: str = CALIBRATION,
    *,
    device: str = 'cpu',
    progress: Progress = no_progress,
    labels: Callable[[list[Any]], np.ndarray] = true_labels,
    discard: Discard | None = None,
) -> StoreJob[CascadeModel]:
    """The cascade of a config with its weights, and one of its splits, looked at: what a store is filled from.

    Args:
        cfg, folder, dataloader, device, progress, labels, discard: as for :func:`prepare_store`.

    Raises:
        ValueError: without that split, or if the calibration split shares images with the test split.
        NotReadyError: if a member has no weights.
    """
    if dataloader != CALIBRATION:
        cfg = copy.deepcopy(cfg)
        cfg.val_dataloader, cfg.test_dataloader = cfg[dataloader], None
    if cfg.get('val_dataloader') is None:
        raise ValueError(
            'the config has no val_dataloader, which is the calibration split; give it one that shares no '
            'image with test_dataloader'
        )
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    dataset = DATASETS.build(copy.deepcopy(cfg.val_dataloader.dataset))
    if cfg.get('test_dataloader') is not None:
        _check_split(cfg, dataset)
    model = build_without_calibration(cfg).to(device)
    model.check_loaded()
    if labels is not no_labels:  # else those of the data set are not looked at
        check_dataset(model, dataset, f'{dataloader}.dataset')
    name_broken_images(dataset)
    return StoreJob(folder, model, copy.deepcopy(cfg.val_dataloader), dataset, progress, _as_text(cfg), discard)


def prepare_stream(
    cfg: Config,
    dataloader: str,
    folder: str | Path,
    *,
    amp: bool = False,
    progress: Progress = no_progress,
) -> ScoreStore:
    """Fill the store of stage 0's scores on images whose labels are not looked at.

    Args:
        cfg: config of the cascade.
        dataloader: its key for the images, such as 'test_dataloader'.
        folder, amp, progress: as for :func:`prepare_store`.

    Raises:
        ValueError: if the config has no such key.
    """
    if cfg.get(dataloader) is None:
        raise ValueError(f'the config has no {dataloader!r} whose images the window could be adjusted on')
    first = copy.deepcopy(cfg)
    first.model.stages = cfg.model.stages[:1]
    member = cfg.model.stages[0].member
    first.model.members = {member: cfg.model.members[member]}
    prepared = prepare_store(first, folder, dataloader, amp=amp, progress=progress, labels=no_labels)
    return of_kind(ScoreStore, prepared)[0]


def no_labels(samples: list[Any]) -> np.ndarray:
    """-1 for every image, also where there are labels."""
    return np.full(len(samples), -1, dtype=np.int64)


def build_without_calibration(cfg: Config) -> CascadeModel:
    """The cascade of a config, with neither its calibration nor its accept threshold."""
    if cascade_class(cfg) is None:
        raise ValueError(
            'only a mmcascade.WindowCascadeClassifier or a mmcascade.CascadeSegmentor can be calibrated, '
            f'got model.type = {cfg.model.get("type")!r}'
        )
    config = copy.deepcopy(cfg.model)
    for key in ('calibration', 'policy', 'accept', 'accept_cells'):
        config.pop(key, None)
    if task_of(cfg) == 'classification' and any(stage.get('temperature', 1) != 1 for stage in config.stages):
        raise ValueError(
            'a calibration gives the temperatures; leave temperature= out of the stages and fit them with '
            '--temperatures fit'
        )
    return MODELS.build(config)


def _as_text(cfg: Config) -> str | None:
    """The resolved config as a literal, which can be read without running it; None if it holds other objects."""
    text = repr(cfg.to_dict())
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    return text


def _check_split(cfg: Config, calibration: Any) -> None:
    try:
        test = DATASETS.build(copy.deepcopy(cfg.test_dataloader.dataset))
        keys = unit_keys(test)
    except Exception as error:  # whatever the user's data set raises where its files are not at hand
        warnings.warn(
            f'the test split cannot be read here ({error}), so whether it shares images with the calibration '
            'split was not checked',
            stacklevel=3,
        )
        return
    check_disjoint(unit_keys(calibration), keys)
