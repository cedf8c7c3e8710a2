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
from mmengine.evaluator import Evaluator

from mmcascade.calibration.adjust import adjust
from mmcascade.calibration.replay import Replay
from mmcascade.demo.ood_plot import plot_roc
from mmcascade.demo.quickstart import LARGE, PAIR, Say, member_scores
from mmcascade.demo.systems import Scores, System, cascade_systems, fixed_system
from mmcascade.routing import CachedStage

TARGETS = ('tpr=0.95', 'tpr=0.8')
METRICS = (
    dict(type='mmcascade.OODDetection', tprs=(0.80, 0.95)),
    dict(type='mmcascade.SCOD', coverages=(0.5, 0.8)),
    dict(type='mmcascade.CascadeCost'))


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
        _with_confidence(member_scores(cfg, work_dir / f'{name}_scores', f'{split}_dataloader', say), confidence)
        for name, split in (('calibration', 'val'), ('test', 'test')))
    outside = {name: _with_confidence(_ood_scores(cfg, ood_cfg, dataset, name, work_dir, say), confidence)
               for name, dataset in ood_sets(ood_cfg).items()}
    everything, names = _joined(inside, outside)
    say('replaying the stored scores as OOD detectors')
    part: dict[str, Any] = {'confidence': confidence, 'targets': {}}
    for target in TARGETS:
        systems = _systems(calibration, everything, names, target)
        replays = {name: everything.replay(system.order, system.policy) for name, system in systems.items()}
        part['targets'][target] = {name: measure(replays[name], everything.labels, names, system.calibration.accept)
                                   for name, system in systems.items()}
        plot_roc(replays, names, work_dir / f'roc_{target.replace("=", "")}.png')
    path = work_dir / 'results.json'
    results = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**results, 'ood': part}, indent=2, allow_nan=False) + '\n')
    return part


def ood_sets(cfg: Config) -> dict[str, Any]:
    """The configs of the marked data sets of a test loop, by name."""
    found = {}
    for dataset in cfg.test_dataloader.dataset.datasets:
        for transform in dataset.get('pipeline', ()):
            if transform['type'].endswith('MarkOOD'):
                found[transform['name']] = dataset
    return found


def measure(result: Replay, labels: np.ndarray, names: np.ndarray, accept: float | None) -> dict[str, float]:
    """The metrics that a test loop prints, from a replay; ``cost/mixture/macs`` weighs ID and OOD images 1:1.

    Args:
        result: of all units.
        labels: int ``(N)``, -1 = OOD.
        names: ``(N)``, each unit's data set.
        accept: accept a unit if its confidence is at least this.
    """
    samples = []
    for unit, label in enumerate(labels.tolist()):
        sample = dict(confidence=result.confidence[unit], pred_label=result.label[unit], gt_label=label,
                      macs=result.macs[unit], exit_stage=result.exit_stage[unit])
        if label < 0:
            sample |= dict(ood=True, dataset=names[unit])
        if accept is not None:
            sample['accepted'] = result.confidence[unit] >= accept
        samples.append(sample)
    values = Evaluator(copy.deepcopy(list(METRICS))).offline_evaluate(samples)
    inside = labels >= 0
    values['cost/mixture/macs'] = (result.macs[inside].mean() + result.macs[~inside].mean()) / 2e9
    return {key: float(value) for key, value in values.items()}


def _systems(calibration: Scores, everything: Scores, names: np.ndarray, target: str) -> dict[str, System]:
    """Members, ensemble and cascades; the adjusted window looks at a 1:1 mixture of unlabelled test images."""
    alone = {name: fixed_system(calibration, [name], target, []) for name in (*PAIR, LARGE)}
    cascades = cascade_systems(calibration, PAIR, target)
    window = cascades['cascade']
    inside, outside = np.flatnonzero(names == 'id'), np.flatnonzero(names != 'id')
    mixture = np.r_[np.random.RandomState(0).permutation(inside)[:len(outside)], outside]
    first = everything.stages[PAIR[0]]
    seen = CachedStage(first.values[mixture], is_logits=first.is_logits, source=first.source)
    adjusted = adjust(window.calibration, seen, len(mixture))
    return {**alone, 'ensemble': fixed_system(calibration, PAIR, target, [(None, None)]), **cascades,
            'adjusted': System(window.order, adjusted.policy(), adjusted)}


def _with_confidence(scores: Scores, confidence: str) -> Scores:
    return replace(scores, identity=replace(scores.identity, confidence=confidence))


def _ood_scores(cfg: Config, ood_cfg: Config, dataset: Mapping[str, Any], name: str, work_dir: Path,
                say: Say) -> Scores:
    own = copy.deepcopy(cfg)
    own.test_dataloader = dict(ood_cfg.test_dataloader, dataset=dataset)
    return member_scores(own, work_dir / f'{name}_scores', 'test_dataloader', say)


def _joined(inside: Scores, outside: Mapping[str, Scores]) -> tuple[Scores, np.ndarray]:
    """The ID units and then each OOD set, and the name of each unit's set."""
    parts = {'id': inside, **outside}
    stages = {}
    for name, first in inside.stages.items():
        pieces = [part.stages[name] for part in parts.values()]
        stages[name] = CachedStage(
            torch.cat([piece.values for piece in pieces]), is_logits=first.is_logits, source=first.source,
            macs=torch.cat([torch.as_tensor(piece.macs) for piece in pieces]))
    names = np.repeat(list(parts), [len(part.labels) for part in parts.values()])
    return replace(inside, stages=stages, labels=np.concatenate([part.labels for part in parts.values()])), names
