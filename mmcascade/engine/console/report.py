# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a test has measured, on the terminal."""

from __future__ import annotations

from mmcascade.engine.console.metrics_table import metrics_table
from mmcascade.engine.hooks.stage_table_hook import stage_table
from mmcascade.engine.runs.testing import Tested


def show_test(tested: Tested) -> None:
    """Print the metrics, and the stages where there are some."""
    metrics_table(tested.metrics).show()
    if getattr(tested.model, 'is_cascade', False):
        print()
        stage_table(tested.model.stages, tested.metrics).show()
    print()
