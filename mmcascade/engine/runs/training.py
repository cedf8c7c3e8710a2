# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One training of a member, as ``tools/train.py`` and the quickstarts run it."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process

from mmcascade.engine.configs.training import TrainFlags, prepare_train
from mmcascade.engine.console.progress import progress_bar
from mmcascade.engine.hooks.progress_hook import ProgressHook
from mmcascade.engine.runs.runner import build_runner, log_file


def run_train(cfg: Config, flags: TrainFlags, verbose: bool = False) -> str | None:
    """Train a config; returns where the log is.

    Args:
        cfg: as read from ``flags.config_path``; changed in place.
        flags: how it is trained.
        verbose: show MMEngine's log in place of a progress bar.

    Raises:
        ValueError: of any kind, where the user can put something right.
    """
    runner = build_runner(prepare_train(cfg, flags), verbose)
    with progress_bar('training', shown=is_main_process() and not verbose) as progress:
        runner.register_hook(ProgressHook(progress))
        runner.train()
    return log_file(runner)


def last_checkpoint(work_dir: str | Path) -> Path | None:
    """The checkpoint with which the last training in a folder ended, or came furthest; None if there is none."""
    last = Path(work_dir) / 'last_checkpoint'  # written after the checkpoint is complete
    return Path(last.read_text().strip()) if last.exists() else None


def is_trained(checkpoint: Path) -> bool:
    """Whether a training ended with this checkpoint, and was not interrupted while writing it."""
    last = last_checkpoint(checkpoint.parent)
    return checkpoint.exists() and last is not None and last.name == checkpoint.name
