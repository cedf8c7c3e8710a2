# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Hooks, loops and what stands between a command line and a Runner."""

from mmcascade.engine.cascade_visualization_hook import CascadeVisualizationHook
from mmcascade.engine.cell_visualization_hook import CellVisualizationHook
from mmcascade.engine.deferred_test_loop import DeferredTestLoop
from mmcascade.engine.stage_table_hook import StageTableHook

__all__ = ['CascadeVisualizationHook', 'CellVisualizationHook', 'DeferredTestLoop', 'StageTableHook']
