# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Pictures and tables after a test."""

from mmcascade._system.extras import require

require('mmengine', 'mmcascade.engine')

from mmcascade.engine.hooks.cascade_visualization_hook import CascadeVisualizationHook  # noqa: E402
from mmcascade.engine.hooks.cell_visualization_hook import CellVisualizationHook  # noqa: E402
from mmcascade.engine.hooks.curve_hook import CurveHook  # noqa: E402
from mmcascade.engine.hooks.stage_table_hook import StageTableHook  # noqa: E402

__all__ = ['CascadeVisualizationHook', 'CellVisualizationHook', 'CurveHook', 'StageTableHook']
