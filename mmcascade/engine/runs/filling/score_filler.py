# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Run every stage over a data set and keep the scores."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmcascade.calibration.stores.header import ScoreHeader
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.engine.runs.filling.filler import Filler
from mmcascade.engine.runs.filling.job import StoreJob
from mmcascade.models.cascade_model import CascadeModel
from mmcascade.models.stages.stage import MemberStage
from mmcascade.models.stages.views.batch_views import as_views
from mmcascade.routing import ExitState, StageOutput, UnitBatch
from mmcascade.routing.exits.exit_state import left_behind

#: What every stage gives for some units, and their labels.
Scores = tuple[Sequence[StageOutput], np.ndarray]


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


class ScoreFiller(Filler[CascadeModel, ScoreStore, Scores]):
    """Fills a store of scores; labels that have changed since are read again, and the scores are kept.

    Args:
        job: the cascade, the data set and the store's place.
        labels: what to keep as the labels of a batch: :func:`true_labels`, or a function like it.
    """

    kind = ScoreStore

    def __init__(self, job: StoreJob[CascadeModel], labels: Callable[[list[Any]], np.ndarray] = true_labels) -> None:
        features = job.model.confidence.needs_features
        super().__init__(job, job.identity(labels is true_labels, features=features))
        self.labels = labels

    def records(self, images: range) -> Iterator[Scores]:
        """What every stage gives for one batch after the other, and its labels."""
        for batch in self.job.batches(images):
            outputs = _run_all(self.job.model.stages, as_views(batch['inputs']))
            labels = self.labels(batch['data_samples'])
            _check_labels(labels, outputs[0].values.shape[1])
            yield outputs, labels

    def labels_of(self, images: range) -> np.ndarray:
        """Labels come out of the pipeline, which may change them, so that is run; no member is."""
        return np.concatenate([self.labels(batch['data_samples']) for batch in self.job.batches(images)])

    def header(self, records: Scores) -> ScoreHeader:
        """Some of it is known by what the stages give."""
        outputs, stages = records[0], self.job.model.stages
        widths = [None if output.features is None else output.features.shape[1] for output in outputs]
        return ScoreHeader(
            identity=self.identity,
            units=self.identity.data.units,
            classes=outputs[0].values.shape[1],
            kinds=['logits' if output.logits is not None else 'probabilities' for output in outputs],
            config=self.job.config,
            features=widths if self.identity.features else None,
            sources=[stage.source for stage in stages],
            trunks=_trunks(stages),
        )

    def write(self, store: ScoreStore, records: Scores) -> None:
        """Of the next units."""
        store.write(*records)

    def renew(self, store: ScoreStore) -> None:
        """Put the labels that there are now in place of those in the store."""
        found = self.labels_of(range(store.filled))
        _check_labels(found, store.header.classes)
        changed = int((found != store.labels[: store.filled]).sum())
        store.relabel(found)
        warnings.warn(
            f'{changed} of {store.filled} labels have changed since the score store {store.folder} was filled; they '
            'were read again, and the scores are kept',
            stacklevel=3,
        )


def _trunks(stages: Sequence[MemberStage]) -> list[int | None] | None:
    """Per stage a number for what it shares with other exits of its network; None where nothing is shared."""
    numbers = {
        trunk: number for number, trunk in enumerate(dict.fromkeys(s.trunk for s in stages if s.trunk is not None))
    }
    return [numbers.get(stage.trunk) for stage in stages] if numbers else None


def _check_labels(labels: np.ndarray, classes: int) -> None:
    if labels.max(initial=-1) >= classes:
        raise ValueError(
            f'an image has the label {labels.max()}, and the members have {classes} classes, 0 to '
            f'{classes - 1}; check the annotations and the num_classes of the members'
        )


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
