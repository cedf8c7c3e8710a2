# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Run every stage over a data set and keep the scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import Dataset, Subset

from mmcascade.calibration.stores.fingerprints import fingerprint
from mmcascade.calibration.stores.header import ScoreHeader
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.calibration.stores.store_identity import DataIdentity, StoreIdentity
from mmcascade.datasets.unit_keys import unit_keys
from mmcascade.engine.benchmark.timing import Progress
from mmcascade.models.cascade_model import CascadeModel
from mmcascade.models.stages.stage import MemberStage
from mmcascade.models.stages.views import as_views
from mmcascade.routing import StageOutput, UnitBatch


def true_labels(samples: list[Any]) -> np.ndarray:
    """The classes of a batch, int64 ``(N)``.

    Raises:
        ValueError: if an image has none.
    """
    missing = [
        sample.get('img_path', f'image {i} of the batch')
        for i, sample in enumerate(samples)
        if 'gt_label' not in sample
    ]
    if missing:
        raise ValueError(f'{missing[0]} has no gt_label: calibration needs labelled images')
    return np.array([int(sample.gt_label) for sample in samples], dtype=np.int64)


@torch.no_grad()
def fill_store(
    folder: str | Path,
    model: CascadeModel,
    dataloader: Config,
    dataset: Dataset,
    progress: Progress = lambda done, total: None,
    config: str | None = None,
    labels: Callable[[list[Any]], np.ndarray] = true_labels,
) -> ScoreStore:
    """The complete store of all stages' scores on a data set; what an earlier run left is continued.

    Args:
        folder: the store's place.
        model: a cascade with loaded members; its policy is not asked.
        dataloader: config of the loader; its data set is replaced, its order is kept.
        dataset: the built data set.
        progress: called with the number of finished units and of all units.
        config: the whole config as a Python literal, kept in the store.
        labels: what to keep as the labels of a batch: :func:`true_labels`, or a function like it.

    Raises:
        StoreError: if the folder holds the scores of other members, data or preprocessing.
        ValueError: if the data set is empty, or has a label that is no class of the members.
    """
    identity = store_identity(model, dataloader, dataset)
    store = None
    if ScoreStore.exists(folder):
        store = ScoreStore.open(folder)
        store.check_identity(identity)
    units = len(dataset)  # type: ignore[arg-type]
    start = 0 if store is None else store.filled
    progress(start, units)
    for batch in ordered_loader(dataloader, Subset(dataset, range(start, units))) if start < units else ():
        views = as_views(batch['inputs'])
        outputs = [_run(stage, views) for stage in model.stages]
        given = labels(batch['data_samples'])
        _check_labels(given, outputs[0].values.shape[1])
        if store is None:
            kinds = ['logits' if output.logits is not None else 'probabilities' for output in outputs]
            widths = [None if output.features is None else output.features.shape[1] for output in outputs]
            header = ScoreHeader(
                identity=identity,
                units=units,
                classes=outputs[0].values.shape[1],
                kinds=kinds,
                config=config,
                features=widths if model.confidence.needs_features else None,
                sources=[stage.source for stage in model.stages],
            )
            store = ScoreStore.create(folder, header)
        store.write(outputs, given)
        progress(store.filled, units)
    if store is None:
        raise ValueError('the calibration data set is empty; check the annotations and the split of val_dataloader')
    return store


def store_identity(model: CascadeModel, dataloader: Config, dataset: Any) -> StoreIdentity:
    """What the stored scores depend on: members (weights, views, precision), images and preprocessing."""
    cascade = model.identity()
    return StoreIdentity(
        cascade.stages,
        cascade.precision,
        data_identity(dataset),
        preprocessing(dataloader),
        macs=given_macs(model),
        features=model.confidence.needs_features,
    )


def given_macs(model: CascadeModel) -> tuple[float | None, ...] | None:
    """The multiply-adds that stages were given in place of the counted ones; None if none was."""
    given = tuple(stage.macs for stage in model.stages)
    return None if all(macs is None for macs in given) else given


def data_identity(dataset: Any) -> DataIdentity:
    """Which images a data set holds."""
    return DataIdentity(len(dataset), fingerprint(unit_keys(dataset)))


def preprocessing(dataloader: Config) -> str:
    """A short name for what is done to the images of a loader."""
    transforms = json.dumps(_pipelines(dataloader.get('dataset')), default=str, sort_keys=True)
    return fingerprint([transforms.encode()])


def _check_labels(labels: np.ndarray, classes: int) -> None:
    if labels.max(initial=-1) >= classes:
        raise ValueError(
            f'an image has the label {labels.max()}, and the members have {classes} classes, 0 to '
            f'{classes - 1}; check the annotations and the num_classes of the members'
        )


def _pipelines(config: Any) -> list[Any]:
    """Every pipeline in a nested data set config."""
    if isinstance(config, (list, tuple)):
        return [found for entry in config for found in _pipelines(entry)]
    if not isinstance(config, dict):
        return []
    own = [config['pipeline']] if 'pipeline' in config else []
    return own + [found for key, entry in config.items() if key != 'pipeline' for found in _pipelines(entry)]


def ordered_loader(config: Config, dataset: Dataset, collate: str = 'default_collate') -> Any:
    """The loader of a config over another data set, in its order and to its end."""
    config = dict(config, dataset=dataset, sampler=dict(type='DefaultSampler', shuffle=False))
    config.setdefault('collate_fn', dict(type=collate))
    config.pop('drop_last', None)
    return Runner.build_dataloader(config)


def _run(stage: MemberStage, views: list[Tensor]) -> StageOutput:
    batch = UnitBatch.submitted(views, np.arange(len(views[0])), 0)
    pieces = []
    while len(batch):
        piece, batch = batch.split(min(len(batch), stage.batch_size or len(batch)))
        pieces.append(stage(piece))
    if len(pieces) == 1:
        return pieces[0]
    joined = {
        name: torch.cat([getattr(piece, name) for piece in pieces])
        for name in ('logits', 'probabilities', 'features')
        if getattr(pieces[0], name) is not None
    }
    return StageOutput(**joined, macs=pieces[0].macs)
