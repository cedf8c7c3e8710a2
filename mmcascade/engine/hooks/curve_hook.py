# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The risk-coverage curve of a test, for experiment trackers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmcascade.evaluation.standings.standings import System
from mmcascade.registry import HOOKS
from mmcascade.visualization.cell_plot import as_image
from mmcascade.visualization.standings_plot import plot_curves

_NAME = 'risk_coverage'
_MOST_SORTED = 10_000_000  # scores in all draws together, which bounds the time for the band


@HOOKS.register_module()
class CurveHook(Hook):
    """Hands the curve of a classification test to the ``vis_backends`` of its config.

    ``mmcascade test`` brings it along where one of them is a tracker, such as TensorBoard; otherwise name it in
    ``custom_hooks``. Images without a true label, or out of distribution, are left out; a test
    on several processes, each of which sees a part of the images, draws nothing.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self._confidence: list[float] = []
        self._wrong: list[bool] = []

    def needs_inputs(self, samples: Sequence[Any]) -> bool:
        """Never: a deferred test need not keep images for it."""
        return False

    def before_test_epoch(self, runner: Runner) -> None:
        """Nothing is known."""
        self._confidence, self._wrong = [], []

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        """Keep the score of every image, and whether it is right."""
        for sample in outputs or ():
            label = sample.get('gt_label')
            if label is None or 'confidence' not in sample or label.numel() != 1 or int(label) < 0:
                continue
            self._confidence.append(float(sample.confidence))
            self._wrong.append(int(sample.pred_label) != int(label))

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Draw the curve."""
        if not self._wrong or get_world_size() > 1:
            return
        confidence, wrong = np.array(self._confidence), np.array(self._wrong)
        system = System('cascade', confidence, wrong, np.zeros(len(wrong)))
        figure = plot_curves([system], repeats=int(np.clip(_MOST_SORTED // len(wrong), 20, 200)))
        runner.visualizer.add_image(_NAME, as_image(figure))
