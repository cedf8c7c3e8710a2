# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a Runner does beside a test: pictures of decisions, the table of stages, curves for trackers, progress.

A hook registers itself in ``HOOKS`` and is imported below. It reads what a test leaves in data samples and metrics, and
computes no figure of its own: figures are ``evaluation.metrics``, drawing is ``visualization``. Hooks import no loop
and no run, so that they work in the tools of other libraries, too.
"""

from mmcascade._system.extras import require

require('mmengine', 'mmcascade.engine')

from mmcascade.engine.hooks.cascade_visualization_hook import CascadeVisualizationHook  # noqa: E402
from mmcascade.engine.hooks.cell_visualization_hook import CellVisualizationHook  # noqa: E402
from mmcascade.engine.hooks.curve_hook import CurveHook  # noqa: E402
from mmcascade.engine.hooks.stage_table_hook import StageTableHook  # noqa: E402

__all__ = ['CascadeVisualizationHook', 'CellVisualizationHook', 'CurveHook', 'StageTableHook']
