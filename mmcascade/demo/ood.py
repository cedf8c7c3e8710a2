# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The quickstart's systems as detectors of images that are out of distribution (OOD)."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from mmcascade._system.files import write_json
from mmcascade.comparison.classification.scores import SplitScores
from mmcascade.comparison.ood.comparison import metrics_of_detectors, ood_sets
from mmcascade.comparison.ood.detectors import calibrated_detectors
from mmcascade.demo.members import COMPARISON, LARGE, PAIR
from mmcascade.engine.console.progress import Say
from mmcascade.routing import CachedStage

TARGETS = ('tpr=0.95', 'tpr=0.8')


def run_ood(cfg: Config, ood_cfg: Config, work_dir: Path, say: Say = print) -> dict[str, Any]:
    """Compare detectors on the quickstart's test split and OOD sets, and add the part 'ood' to its results.json.

    Members run once; every system is replayed on their stored scores. Windows and accept thresholds are placed on the
    calibration split, which holds no OOD image.

    Args:
        cfg: config of the quickstart's cascade, with the larger member among its members.
        ood_cfg: config of the OOD cascade: its confidence, and a ConcatDataset to test, the OOD sets last.
        work_dir: the quickstart's folder, with its stored scores and results.
        say: prints one line of progress.
    """
    confidence = ood_cfg.model.confidence
    calibration, inside = (
        _with_confidence(COMPARISON.scores(cfg, work_dir / f'{name}_scores', f'{split}_dataloader', say), confidence)
        for name, split in (('calibration', 'val'), ('test', 'test'))
    )
    outside = {
        name: _with_confidence(_ood_scores(cfg, ood_cfg, dataset, name, work_dir, say), confidence)
        for name, dataset in ood_sets(ood_cfg).items()
    }
    everything, names = _joined(inside, outside)
    say('replaying the stored scores as OOD detectors')
    part: dict[str, Any] = {'confidence': confidence, 'targets': {}}
    for target in TARGETS:
        detectors = calibrated_detectors(calibration, everything, names, PAIR, [LARGE], target)
        part['targets'][target] = metrics_of_detectors(
            detectors, everything, names, work_dir / f'roc_{target.replace("=", "")}.png'
        )
    path = work_dir / 'results.json'
    results = json.loads(path.read_text()) if path.exists() else {}
    write_json(path, {**results, 'ood': part})
    return part


def _with_confidence(scores: SplitScores, confidence: str) -> SplitScores:
    return replace(scores, identity=replace(scores.identity, confidence=confidence))


def _ood_scores(
    cfg: Config, ood_cfg: Config, dataset: Mapping[str, Any], name: str, work_dir: Path, say: Say
) -> SplitScores:
    own = copy.deepcopy(cfg)
    own.test_dataloader = dict(ood_cfg.test_dataloader, dataset=dataset)
    return COMPARISON.scores(own, work_dir / f'{name}_scores', 'test_dataloader', say)


def _joined(inside: SplitScores, outside: Mapping[str, SplitScores]) -> tuple[SplitScores, np.ndarray]:
    """The ID units and then each OOD set, and the name of each unit's set."""
    parts = {'id': inside, **outside}
    stages = {}
    for name, first in inside.stages.items():
        pieces = [part.stages[name] for part in parts.values()]
        stages[name] = CachedStage(
            torch.cat([piece.values for piece in pieces]),
            is_logits=first.is_logits,
            source=first.source,
            macs=torch.cat([torch.as_tensor(piece.macs) for piece in pieces]),
        )
    names = np.repeat(list(parts), [len(part.labels) for part in parts.values()])
    return replace(inside, stages=stages, labels=np.concatenate([part.labels for part in parts.values()])), names
