# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A score store in a folder that nobody else writes to."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config

from mmcascade._system.progress import Progress, no_progress
from mmcascade.calibration.stores import AnyStore
from mmcascade.calibration.stores.identity import CascadeIdentity
from mmcascade.engine.console.progress import Say
from mmcascade.engine.runs.prepare_store import prepare_store


def own_store(
    cfg: Config,
    folder: Path,
    dataloader: str,
    say: Say,
    progress: Progress = no_progress,
) -> tuple[AnyStore, CascadeIdentity]:
    """The store of a split; one of members that were trained again since, or of other images, is filled again.

    Args:
        cfg, folder, dataloader, progress: as for :func:`~mmcascade.engine.runs.prepare_store.prepare_store`.
        say: told that it is filled again.
    """
    return prepare_store(
        cfg, folder, dataloader, progress=progress, discard=lambda error: say(f'{error}: filling it again')
    )
