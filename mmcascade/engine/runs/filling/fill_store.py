# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Run every stage over a data set and keep the scores."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import Dataset, Subset

from mmcascade._system.files import remove_folder
from mmcascade._system.progress import Progress, no_progress
from mmcascade.calibration.stores.data_identity import LABELS
from mmcascade.calibration.stores.fingerprints import fingerprint
from mmcascade.calibration.stores.header import ScoreHeader
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.calibration.stores.store import StaleStoreError, Store, StoreError, filling
from mmcascade.calibration.stores.store_identity import StoreIdentity
from mmcascade.datasets.data_files import data_identity
from mmcascade.models.cascade_model import CascadeModel
from mmcascade.models.stages.stage import MemberStage
from mmcascade.models.stages.views import as_views
from mmcascade.routing import ExitState, StageOutput, UnitBatch
from mmcascade.routing.units.exit_state import left_behind

#: Told why a store is deleted and filled again.
Discard = Callable[[StoreError], None]

S = TypeVar('S', bound=Store)


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
    progress: Progress = no_progress,
    config: str | None = None,
    labels: Callable[[list[Any]], np.ndarray] = true_labels,
    discard: Discard | None = None,
) -> ScoreStore:
    """The complete store of all stages' scores on a data set; what an earlier run left is continued.

    Labels that have changed since are read again, and the scores are kept.

    Args:
        folder: the store's place.
        model: a cascade with loaded members; its policy is not asked.
        dataloader: config of the loader; its data set is replaced, its order is kept.
        dataset: the built data set.
        progress: called with the number of finished units and of all units.
        config: the whole config as a Python literal, kept in the store.
        labels: what to keep as the labels of a batch: :func:`true_labels`, or a function like it.
        discard: told why a store that does not fit is deleted and filled again; None = that is an error.

    Raises:
        StoreError: if the folder holds the scores of other members, data or preprocessing, or another process fills it.
        ValueError: if the data set is empty, or has a label that is no class of the members.
    """
    identity = store_identity(model, dataloader, dataset, labels is true_labels)
    units = len(dataset)  # type: ignore[arg-type]
    with filling(folder):
        store = reopened(ScoreStore, folder, identity, config, discard)
        if store is not None and store.header.identity.differences(identity) == [LABELS]:
            _relabel(store, dataloader, dataset, labels)
        if store is not None:
            store.identify(identity, config)
        start = 0 if store is None else store.filled
        progress(start, units)
        for batch in ordered_loader(dataloader, Subset(dataset, range(start, units))) if start < units else ():
            views = as_views(batch['inputs'])
            outputs = _run_all(model.stages, views)
            given = labels(batch['data_samples'])
            _check_labels(given, outputs[0].values.shape[1])
            if store is None:
                store = ScoreStore.create(folder, _header(model, identity, outputs, config))
            store.write(outputs, given)
            progress(store.filled, units)
    if store is None:
        raise ValueError('the calibration data set is empty; check the annotations and the split of val_dataloader')
    return store


def reopened(
    kind: type[S], folder: str | Path, identity: StoreIdentity, config: str | None, discard: Discard | None
) -> S | None:
    """The store of an earlier run, or None if there is none to go on with.

    Raises:
        StoreError: if it does not fit and nobody allows to discard it.
    """
    if not kind.exists(folder):
        return None
    try:
        store = kind.open(folder)
        store.check_identity(identity, except_for=kind.can_renew)
    except StaleStoreError as error:
        if discard is None:
            raise
        discard(error)
        remove_folder(folder)
        return None
    then, now = store.header.identity.data, identity.data
    if then.images is None and now.images is not None:
        warnings.warn(
            f'the {store.name} {folder} was filled by version 0.1, which did not note whether images and labels are '
            'still the same; delete it if they have changed',
            stacklevel=3,
        )
    elif then.moved(now):
        warnings.warn(
            f'the images of the {store.name} {folder} lie elsewhere than when it was filled: only paths differ, and it '
            'is used',
            stacklevel=3,
        )
    return store


def _header(
    model: CascadeModel, identity: StoreIdentity, outputs: Sequence[StageOutput], config: str | None
) -> ScoreHeader:
    widths = [None if output.features is None else output.features.shape[1] for output in outputs]
    return ScoreHeader(
        identity=identity,
        units=identity.data.units,
        classes=outputs[0].values.shape[1],
        kinds=['logits' if output.logits is not None else 'probabilities' for output in outputs],
        config=config,
        features=widths if model.confidence.needs_features else None,
        sources=[stage.source for stage in model.stages],
        trunks=_trunks(model.stages),
    )


def _trunks(stages: Sequence[MemberStage]) -> list[int | None] | None:
    """Per stage a number for what it shares with other exits of its network; None where nothing is shared."""
    numbers = {
        trunk: number for number, trunk in enumerate(dict.fromkeys(s.trunk for s in stages if s.trunk is not None))
    }
    return [numbers.get(stage.trunk) for stage in stages] if numbers else None


def _relabel(
    store: ScoreStore, dataloader: Config, dataset: Dataset, labels: Callable[[list[Any]], np.ndarray]
) -> None:
    """Labels come out of the pipeline, which may change them, so that is run; no member is."""
    loader = ordered_loader(dataloader, Subset(dataset, range(store.filled)))
    found = np.concatenate([labels(batch['data_samples']) for batch in loader])
    _check_labels(found, store.header.classes)
    changed = int((found != store.labels[: store.filled]).sum())
    store.relabel(found)
    warnings.warn(
        f'{changed} of {store.filled} labels have changed since the score store {store.folder} was filled; they were '
        'read again, and the scores are kept',
        stacklevel=3,
    )


def store_identity(model: CascadeModel, dataloader: Config, dataset: Any, labelled: bool = True) -> StoreIdentity:
    """What the stored scores depend on: members (weights, views, precision), images, labels and preprocessing."""
    cascade = model.identity()
    return StoreIdentity(
        cascade.stages,
        cascade.precision,
        data_identity(dataset, labelled),
        preprocessing(dataloader),
        macs=given_macs(model),
        features=model.confidence.needs_features,
    )


def given_macs(model: CascadeModel) -> tuple[float | None, ...] | None:
    """The multiply-adds that stages were given in place of the counted ones; None if none was."""
    given = tuple(stage.macs for stage in model.stages)
    return None if all(macs is None for macs in given) else given


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


def _run_all(stages: Sequence[MemberStage], views: list[Tensor]) -> list[StageOutput]:
    """Every stage on every image; exits of one network go on from each other."""
    batch, outputs = UnitBatch.submitted(views, np.arange(len(views[0])), 0), []
    for index, stage in enumerate(stages):
        output = _run(stage, batch)
        later = frozenset(following.trunk for following in stages[index + 1 :]) - {None}
        batch.exits = left_behind(batch.exits, stage.trunk, output.state, later)
        outputs.append(output)
    return outputs


def _run(stage: MemberStage, batch: UnitBatch) -> StageOutput:
    pieces = []
    while len(batch):
        piece, batch = batch.split(min(len(batch), stage.batch_size or len(batch)))
        pieces.append(stage(piece))
    if len(pieces) == 1:
        return pieces[0]
    states = [piece.state for piece in pieces if piece.state is not None]
    return StageOutput(
        logits=_joined([piece.logits for piece in pieces]),
        probabilities=_joined([piece.probabilities for piece in pieces]),
        features=_joined([piece.features for piece in pieces]),
        macs=pieces[0].macs,
        state=ExitState.cat(states) if states else None,
    )


def _joined(parts: list[Tensor | None]) -> Tensor | None:
    there = [part for part in parts if part is not None]
    return torch.cat(there) if there else None
