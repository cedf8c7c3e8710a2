# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A cascade of any config, its members and other exit policies, compared as OOD detectors."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

from mmcascade._system.files import write_json
from mmcascade._system.machine import machine
from mmcascade._system.progress import Progress, no_progress
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.comparison.classification.scores import SplitScores
from mmcascade.comparison.ood.detectors import (
    Detector,
    calibrated_detectors,
    detector_metrics,
    given_detectors,
)
from mmcascade.comparison.ood.plot import plot_roc
from mmcascade.comparison.ood.results import OodResults
from mmcascade.engine.runs.prepare_store import of_kind, prepare_store
from mmcascade.visualization.style import save


def compare_ood(cfg: Config, work_dir: Path, target: str | None = None, progress: Progress = no_progress) -> OodResults:
    """Run all members once over the test loop of a config and replay every detector.

    Args:
        cfg: config of a cascade with each member in one stage. ``test_dataloader.dataset`` is a ConcatDataset of one
            in-distribution set and OOD sets that are marked by MarkOOD.
        work_dir: gets ``ood.json``, ``roc.png`` and the stored scores, which are used again.
        target: place the windows for it on ``val_dataloader``; None = take those of the config's policy.
        progress: called with the number of finished images and of all images.

    Returns:
        What ``ood.json`` holds.

    Raises:
        ValueError: if the config does not fit.
    """
    order = [stage.member for stage in cfg.model.stages]
    if len(set(order)) < len(order):
        raise ValueError(f'the comparison tells stages apart by their member, and the stages run {order}')
    if cfg.test_dataloader.dataset.get('type') != 'ConcatDataset' or not ood_sets(cfg):
        raise ValueError('test_dataloader.dataset is no ConcatDataset with sets marked by mmcascade.MarkOOD')
    windows = (cfg.model.get('policy') or {}).get('windows')
    if target is None and windows is None:
        raise ValueError('the config has no policy with windows; name a target such as tpr=0.95 to place them')
    work_dir.mkdir(parents=True, exist_ok=True)
    test = _scores(cfg, 'test_dataloader', work_dir / 'test_scores', progress)
    names = set_names(cfg)
    if target is None:
        assert windows is not None  # refused above
        detectors = given_detectors(test, names, order, windows)
    else:
        calibration = _scores(cfg, 'val_dataloader', work_dir / 'calibration_scores', progress)
        detectors = calibrated_detectors(calibration, test, names, order, [], target)
    result: OodResults = {
        'schema': 1,
        'machine': machine(),
        'confidence': test.identity.confidence,
        'target': target,
        'systems': metrics_of_detectors(detectors, test, names, work_dir / 'roc.png'),
    }
    write_json(work_dir / 'ood.json', result)
    return result


def metrics_of_detectors(
    detectors: Mapping[str, Detector], test: SplitScores, names: np.ndarray, picture: Path
) -> dict[str, dict[str, float]]:
    """The metrics of every detector on the same scores, and a picture of their ROC curves."""
    replays = {name: test.replay(detector.order, detector.policy) for name, detector in detectors.items()}
    save(plot_roc(replays, names), picture, formats=('pdf',))
    return {
        name: detector_metrics(replays[name], test.labels, names, detector.accept)
        for name, detector in detectors.items()
    }


def ood_sets(cfg: Config) -> dict[str, Any]:
    """The configs of the marked data sets of a test loop, by name."""
    found = {}
    for dataset in cfg.test_dataloader.dataset.datasets:
        for transform in dataset.get('pipeline', ()):
            if transform['type'].endswith('MarkOOD'):
                found[transform['name']] = dataset
    return found


def set_names(cfg: Config) -> np.ndarray:
    """The data set of each image of a test loop, ``(N)``; 'id' where nothing marks it."""
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    marked = {id(dataset): name for name, dataset in ood_sets(cfg).items()}
    parts = [
        (marked.get(id(dataset), 'id'), len(DATASETS.build(copy.deepcopy(dataset))))
        for dataset in cfg.test_dataloader.dataset.datasets
    ]
    return np.repeat([name for name, _ in parts], [size for _, size in parts])


def _scores(cfg: Config, split: str, folder: Path, progress: Progress) -> SplitScores:
    return SplitScores.of(*of_kind(ScoreStore, prepare_store(cfg, folder, split, progress=progress)))
