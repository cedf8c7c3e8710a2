# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Pictures of what a cascade decided."""

from __future__ import annotations

import math
import os.path as osp
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import cv2
import mmcv
import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from mmengine.visualization import Visualizer

from mmcascade.engine.hooks.trackers import trackers_of
from mmcascade.models.stages.views.batch_views import as_views
from mmcascade.registry import HOOKS

_LINE = 18  # height of a line of text, in pixels


class Showing(TypedDict, total=False):
    """Where pictures go, which all hooks that draw have in common.

    Attributes:
        show: open a window for each.
        out_dir: folder for PNG files, which trackers of the visualizer get, too; None = its backends only.
    """

    show: bool
    out_dir: str | None


@HOOKS.register_module()
class CascadeVisualizationHook(Hook):
    """Draws tested images with prediction, confidence and exit stage.

    Takes the options of mmpretrain's VisualizationHook, whose place it takes for batches of several views. The image is
    read again from its path, so it is shown as it is on disk, not as a member sees it.

    Args:
        enable: draw at all (tools/test.py --show-dir and --show set this).
        interval: draw every so many images.
        show: open a window for each picture.
        wait_time: seconds a window stays.
        out_dir: folder for PNG files, which trackers of the visualizer get, too; None = its backends only.
    """

    def __init__(
        self,
        enable: bool = False,
        interval: int = 5000,
        show: bool = False,
        wait_time: float = 2.0,
        out_dir: str | None = None,
    ) -> None:
        if interval < 1:
            raise ValueError(f'interval is a number of images >= 1, got {interval!r}')
        self.enable = enable
        self.interval = interval
        self.show = show
        self.wait_time = wait_time
        self.out_dir = out_dir

    def needs_inputs(self, samples: Sequence[BaseDataElement]) -> bool:
        """Whether pictures of these samples can only be made from what the members see."""
        return self.enable and any('img_path' not in sample for sample in samples)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[BaseDataElement] | None = None
    ) -> None:
        """Write the pictures of a batch."""
        if not self.enable or not outputs:
            return
        batch_size = runner.test_dataloader.batch_size or len(outputs)
        start = batch_idx * batch_size
        first = math.ceil(start / self.interval) * self.interval
        for number in range(first, start + len(outputs), self.interval):
            sample = outputs[number - start]
            image = _image_of(sample, data_batch, number - start)
            self._put(
                runner.visualizer, self.picture(image, sample, runner.visualizer.dataset_meta or {}), sample, number
            )

    def picture(self, image: np.ndarray, sample: BaseDataElement, dataset_meta: Mapping[str, Any]) -> np.ndarray:
        """What is shown of a sample; images are BGR uint8 ``(H, W, 3)``."""
        return draw_prediction(image, describe(sample, dataset_meta.get('classes')))

    def _put(self, visualizer: Visualizer, picture: np.ndarray, sample: BaseDataElement, number: int) -> None:
        name = osp.splitext(osp.basename(sample.get('img_path', '')))[0]
        name = f'{number:06d}_{name}' if name else f'{number:06d}'
        if self.out_dir is not None:
            mmcv.imwrite(picture, osp.join(self.out_dir, f'{name}.png'))
            for tracker in trackers_of(visualizer):
                tracker.add_image(name, np.ascontiguousarray(picture[..., ::-1]))
        else:
            visualizer.add_image(name, picture[..., ::-1])
        if self.show:
            visualizer.show(picture[..., ::-1], name, wait_time=self.wait_time)


def describe(sample: BaseDataElement, classes: Sequence[str] | None) -> list[str]:
    """The lines of text under a picture."""

    def label(value: Any) -> str:
        index = int(value)
        return str(index) if classes is None or not 0 <= index < len(classes) else classes[index]

    lines = [f'predicted {float(sample.pred_score.max()):.3f}: {label(sample.pred_label)}']
    if 'gt_label' in sample:
        lines.append(f'true: {label(sample.gt_label)}')
    if 'exit_stage' in sample:
        verdict = {True: ', accepted', False: ', rejected', None: ''}[sample.get('accepted')]
        lines.append(f'confidence {sample.confidence:.4g}{verdict}')
        lines.append(f'exit stage {sample.exit_stage}, {sample.macs / 1e9:.3g} GMACs')
    return lines


def draw_prediction(image: np.ndarray, lines: Sequence[str], width: int = 320) -> np.ndarray:
    """The image scaled to a width, over the lines of text; BGR uint8 ``(H, W, 3)``."""
    image = mmcv.imresize(image, (width, max(1, round(image.shape[0] * width / image.shape[1]))))
    footer = np.full((_LINE * len(lines) + 8, width, 3), 255, np.uint8)
    for index, line in enumerate(lines):
        cv2.putText(footer, line, (6, _LINE * (index + 1)), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([image, footer])


def _image_of(sample: BaseDataElement, data_batch: Any, row: int) -> np.ndarray:
    if 'img_path' in sample:
        return mmcv.imread(sample.img_path)
    image = as_views(data_batch['inputs'])[0][row].permute(1, 2, 0).cpu().numpy().astype(np.uint8)
    return np.repeat(image, 3, 2) if image.shape[2] == 1 else image
