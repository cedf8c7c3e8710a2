# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""From a cascade's config to its calibration file and picture."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from mmengine.config import Config
from numpy.typing import NDArray

from mmcascade._system.files import check_writable
from mmcascade.calibration.fit.calibrate import fit
from mmcascade.calibration.fit.evidence import Evidence
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.stores import AnyStore
from mmcascade.calibration.worth.worth import Worth, worth
from mmcascade.engine.configs.classes import check_class_target
from mmcascade.engine.console.progress import progress_bar
from mmcascade.engine.runs.filling.ignored_label import ignored_label
from mmcascade.engine.runs.filling.job import StoreJob
from mmcascade.engine.runs.prepare_store import prepare_store, prepare_stream, store_job
from mmcascade.models.cascades import task_of
from mmcascade.visualization.calibration_plot import plot_calibration
from mmcascade.visualization.style import save

if TYPE_CHECKING:
    from mmcascade.engine.runs.filling.joined_run import JoinedRun


@dataclass(frozen=True)
class CalibrationRun:
    """What a calibration wrote, and what it was fitted on.

    Attributes:
        calibration: what was fitted.
        picture: path of its picture.
        store: what all stages say of the calibration split.
        held: images that nothing was fitted on; None = there are none.
    """

    calibration: Calibration
    picture: Path
    store: AnyStore
    held: NDArray[np.int64] | None

    def worth(self) -> Worth:
        """The cascade beside its members and their ensemble, on the images held out, or else on all."""
        return worth(self.store, self.calibration, self.held)


def run_calibration(
    cfg: Config, request: CalibrationRequest, out: str | Path, store: str | Path | None = None, *, amp: bool = False
) -> CalibrationRun:
    """Fill a store with what all stages say of the calibration split, fit on it, and write ``out`` and its picture.

    Args:
        cfg: config of the cascade.
        request: what is asked for.
        out: the calibration file, ``.json``; the picture stands beside it.
        store: folder for what the stages say; default beside ``out``. An interrupted run continues there.
        amp: run the members in mixed precision.

    Raises:
        ValueError: if the request does not fit the cascade, or cannot be met.
    """
    (request.check_segmentor if task_of(cfg) == 'segmentation' else request.check_classifier)()
    check_class_target(cfg, request.wanted)
    stem = str(out).removesuffix('.json')
    picture = Path(f'{stem}.png')
    for path in (out, picture):
        check_writable(path)
    stream = None
    if request.adjust_on is not None:
        with progress_bar(f'running stage 0 on {request.adjust_on}') as progress:
            stream = prepare_stream(cfg, request.adjust_on, f'{stem}.stream', amp=amp, progress=progress)
    joined = _joined(cfg, request, amp)
    single = cfg if joined is None else without_join(cfg)
    with progress_bar('running all stages') as progress:
        filled, identity = prepare_store(single, store or f'{stem}.store', amp=amp, progress=progress)
    evidence = Evidence.of(filled, identity, request)
    calibration = fit(evidence, request, stream)
    if joined is not None:
        with progress_bar('running the cascade with joined cells') as progress:
            calibration = joined.measured(calibration, evidence, request, progress)
    calibration.save(out)
    save(plot_calibration(evidence, calibration), picture)
    return CalibrationRun(calibration, picture, filled, evidence.held)


def _joined(cfg: Config, request: CalibrationRequest, amp: bool) -> JoinedRun | None:
    """A cascade whose cells are joined, built before anything is run; None of others."""
    stages = cfg.model.get('stages') or ()
    joins = any(isinstance(stage, Mapping) and stage.get('join') is not None for stage in stages)
    if task_of(cfg) != 'segmentation' or not joins:
        return None
    from mmcascade.engine.runs.filling.joined_run import JoinedRun  # needs MMSegmentation

    request.check_joined()
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    job: StoreJob = store_job(cfg, '', device=device)  # nothing is written
    return JoinedRun(job, ignored_label(cfg, job.dataset), amp)


def without_join(cfg: Config) -> Config:
    """The same cascade with a crop around each cell."""
    changed = copy.deepcopy(cfg)
    for stage in changed.model.stages:
        stage.pop('join', None)
    return changed
