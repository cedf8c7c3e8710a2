# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Folders as `build` and `calibrate --store` leave them, without members."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmcascade.calibration.fit.calibrate import calibrate
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.stores.identity import CascadeIdentity
from mmcascade.visualization.report.findings.judged import StoredSplit
from mmcascade.visualization.report.gallery import Images
from mmcascade.visualization.report.runs import calibrated_runs
from mmcascade.visualization.report.section import Told, classified_section, evidence_for
from tests.support.stored.synthetic_scores import make_store, skilled_logits


def write_run(
    folder: Path, request: CalibrationRequest, *, members: int = 2, units: int = 600, shown: int = 401
) -> Path:
    """A calibration with the store that it was fitted on and, unless ``shown`` is 0, one of other images."""
    names = [f'm{k}' for k in range(members)]
    stores = []
    for name, count, seed in (('fitted', units, 0), ('shown', shown, 1)):
        if count:
            stores.append(
                make_store(folder / name, *skilled_logits(count, seed=seed, skills=(1, 1.5, 2)[:members]), names)
            )
    identity = CascadeIdentity(stores[0].header.identity.stages, 'max_prob', 'prob')
    calibrate(stores[0], identity, request).save(folder / 'calibration.json')
    return folder


def opened(folder: Path):
    """The parts of a run: calibration, evidence, both splits."""
    (run,) = calibrated_runs(folder)
    calibration = run.calibration
    splits = [
        None if store is None else StoredSplit.of(store, calibration.cascade, calibration.temperatures)
        for store in (run.fitted, run.shown)
    ]
    return calibration, evidence_for(run.fitted, calibration), *splits


def section_of_run(folder: Path, classes=('a', 'b', 'c', 'd', 'e'), title: str = 'run', names=None):
    """The section of a run, with a picture of one colour for each image."""
    calibration, evidence, fitted, shown = opened(folder)
    names = names or [f'image{k}.png' for k in range(len((shown or fitted).labels))]
    images = Images(names, lambda index: np.full((8, 12, 3), index % 256, np.uint8))
    told = Told(title, classes, images, ['mmcascade build'], 'model = dict()', {'torch': '2'})
    return classified_section(told, calibration, evidence, fitted, shown)
