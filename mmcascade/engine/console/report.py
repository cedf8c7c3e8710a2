# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a test has measured, on the terminal."""

from __future__ import annotations

from mmcascade.engine.console.metrics_table import metrics_table
from mmcascade.engine.hooks.stage_table_hook import stage_table
from mmcascade.engine.runs.testing import Tested
from mmcascade.models.cascades import cascade_of


def show_test(tested: Tested) -> None:
    """Print the metrics, and the stages where there are some."""
    metrics_table(tested.metrics).show()
    cascade = cascade_of(tested.model)
    if cascade is not None:
        print()
        stage_table(cascade.stages, tested.metrics).show()
    print()
