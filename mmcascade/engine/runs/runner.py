# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Runners whose log goes to the file."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import RUNNERS
from mmengine.runner import Runner


def build_runner(cfg: Config, verbose: bool = False) -> Runner:
    """The runner of a config; its type is MMEngine's, or the config's ``runner_type``.

    Args:
        cfg: prepared for a test or a training.
        verbose: MMEngine's log is shown on the terminal, too.
    """
    kind = Runner
    if 'runner_type' in cfg:
        kind = cfg.runner_type if isinstance(cfg.runner_type, type) else RUNNERS.get(cfg.runner_type)
        if kind is None:
            return RUNNERS.build(cfg)  # says what is wrong
    return (kind if verbose else _with_quiet_terminal(kind)).from_cfg(cfg)


def log_file(runner: Runner) -> str | None:
    """Where the log of a run is."""
    files = [h.baseFilename for h in runner.logger.handlers if isinstance(h, logging.FileHandler)]
    return files[0] if files else None


@lru_cache
def _with_quiet_terminal(kind: type[Runner]) -> type[Runner]:
    class QuietTerminal(kind):
        """Shows errors only; the file gets everything."""

        def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
            """The logger, whose terminal is quiet."""
            logger = super().build_logger(*args, **kwargs)
            for handler in logger.handlers:
                if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
                    handler.setLevel(logging.ERROR)
            return logger

    QuietTerminal.__name__ = QuietTerminal.__qualname__ = kind.__name__
    return QuietTerminal
