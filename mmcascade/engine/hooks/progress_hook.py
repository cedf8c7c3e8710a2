# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How far a run is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmcascade._system.progress import Progress


class ProgressHook(Hook):
    """Tells a function how many images were tested, or iterations trained, of how many.

    Args:
        progress: called with the number of finished and of all of them.
    """

    priority = 'LOWEST'

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self._done = 0

    def needs_inputs(self, samples: Sequence[Any]) -> bool:
        """Never: a deferred test need not keep images for it."""
        return False

    def before_test_epoch(self, runner: Runner) -> None:
        """Nothing is done."""
        self._done = 0
        self.progress(0, len(runner.test_dataloader.dataset))

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        """One batch more in every process."""
        total = len(runner.test_dataloader.dataset)
        self._done = min(total, self._done + len(outputs or ()) * get_world_size())
        self.progress(self._done, total)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """One iteration more."""
        self.progress(runner.iter + 1, runner.max_iters)
