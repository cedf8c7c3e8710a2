# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The experiment trackers among the backends of a visualizer."""

from __future__ import annotations

from mmengine.visualization import LocalVisBackend, Visualizer
from mmengine.visualization.vis_backend import BaseVisBackend


def trackers_of(visualizer: Visualizer) -> list[BaseVisBackend]:
    """TensorBoard, WandB, MLflow, ...: all backends but those that write into a folder only."""
    return [
        backend
        for backend in getattr(visualizer, '_vis_backends', {}).values()
        if not isinstance(backend, LocalVisBackend)
    ]
