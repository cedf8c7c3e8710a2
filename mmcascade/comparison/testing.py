# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a system measures: a test of its own config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmcascade._system.json_values import plain
from mmcascade.engine.configs.testing import Drawing, EvalFlags
from mmcascade.engine.runs.testing import Output, run_test
from mmcascade.models.parts.config_file import write_config


def measured(
    config: Config, folder: Path, name: str, work_dir: Path | None = None, drawing: Drawing | None = None
) -> dict[str, Any]:
    """Write the config of a system, test it as tools/test.py does, and return the metrics.

    Args:
        config: of the system.
        folder: gets ``NAME.py`` and ``NAME.metrics.json``.
        name: of the system.
        work_dir: of the run and its log; by default ``NAME`` in the folder.
        drawing: pictures of the predictions, if wanted.
    """
    path, out = folder / f'{name}.py', folder / f'{name}.metrics.json'
    write_config(config, path)
    flags = EvalFlags(str(path), work_dir=str(work_dir or folder / name), drawing=drawing or Drawing())
    return plain(run_test(Config.fromfile(path), flags, Output(metrics=str(out))).metrics)
