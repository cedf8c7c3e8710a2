# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a test has measured, on the terminal."""

from __future__ import annotations

from typing import Any

from torch import nn

from mmcascade.engine.console.metrics_table import metrics_table
from mmcascade.engine.hooks.stage_table_hook import stage_table
from mmcascade.models.cascades import cascade_of


def show_test(metrics: dict[str, Any], model: nn.Module) -> None:
    """Print the metrics of a test, and the stages of the model where there are some."""
    metrics_table(metrics).show()
    cascade = cascade_of(model)
    if cascade is not None:
        print()
        stage_table(cascade.stages, metrics).show()
    print()
