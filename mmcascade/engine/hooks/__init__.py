# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Pictures and tables after a test."""

from mmcascade.engine.hooks.cascade_visualization_hook import CascadeVisualizationHook
from mmcascade.engine.hooks.cell_visualization_hook import CellVisualizationHook
from mmcascade.engine.hooks.stage_table_hook import StageTableHook

__all__ = ['CascadeVisualizationHook', 'CellVisualizationHook', 'StageTableHook']
