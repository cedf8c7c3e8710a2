# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What the flags of a test and of a training have in common."""

from __future__ import annotations

import os.path as osp
from dataclasses import dataclass

from mmengine.config import Config


@dataclass(frozen=True, kw_only=True)
class RunFlags:
    """How a config is run.

    Attributes:
        work_dir: folder for logs, metrics and checkpoints.
        launcher: of distributed processes, as MMEngine names them.
        amp: run in mixed precision.
        pin_memory: False turns it off whatever the config says.
    """

    work_dir: str | None = None
    launcher: str = 'none'
    amp: bool = False
    pin_memory: bool = True

    def place(self, cfg: Config, config_path: str) -> None:
        """Say in a config where and in which processes it runs, in place.

        Args:
            cfg: the config.
            config_path: of the config, which names its work folder where nothing else does.
        """
        cfg.launcher = self.launcher
        cfg.work_dir = self.work_dir or work_dir_of(cfg, config_path)


def work_dir_of(cfg: Config, config_path: str) -> str:
    """The work folder that a config names, or else one named like the config."""
    return cfg.get('work_dir') or osp.join('work_dirs', osp.splitext(osp.basename(config_path))[0])
