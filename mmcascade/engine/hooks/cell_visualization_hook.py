# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Pictures of what a cascade of segmentors decided."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

import cv2
import numpy as np
from mmengine.structures import BaseDataElement

from mmcascade.engine.hooks.cascade_visualization_hook import CascadeVisualizationHook, Showing
from mmcascade.registry import HOOKS
from mmcascade.visualization.cell_plot import as_image, plot_cells


@HOOKS.register_module()
class CellVisualizationHook(CascadeVisualizationHook):
    """Draws tested images with labels, prediction, and the cells by confidence and exit stage.

    Takes the options of mmseg's SegVisualizationHook, whose place it takes, so that mmseg's own tools/test.py switches
    it on, too. The image is read again from its path; without a path it is what the members saw, brought back to the
    original size. Classes are coloured as in mmseg's own pictures, by the palette of the data set.

    Args:
        draw: draw at all (tools/test.py --show-dir and --show set this).
        interval: draw every so many images.
        wait_time: seconds a window stays.
        **shown: ``show`` and ``out_dir``, as of the base class.
    """

    def __init__(
        self, draw: bool = False, interval: int = 50, wait_time: float = 0.0, **shown: Unpack[Showing]
    ) -> None:
        super().__init__(enable=draw, interval=interval, wait_time=wait_time, **shown)

    def picture(self, image: np.ndarray, sample: BaseDataElement, dataset_meta: Mapping[str, Any]) -> np.ndarray:
        """The picture of one sample, RGB uint8."""
        image = as_original(image, sample)
        label = sample.gt_sem_seg.data[0].cpu().numpy() if 'gt_sem_seg' in sample else None
        prediction = sample.pred_sem_seg.data[0].cpu().numpy()
        if label is not None and label.shape != prediction.shape:
            label = None  # a pipeline that resizes the labels, which metrics then cannot read either
        figure = plot_cells(
            image[..., ::-1],
            label,
            prediction,
            {key: value.cpu().numpy() for key, value in sample.cells.items()},
            dataset_meta.get('classes'),
            dataset_meta.get('palette'),
            picture_title(sample),
            sample.num_stages,
        )
        return as_image(figure)[..., ::-1]


def as_original(image: np.ndarray, sample: BaseDataElement) -> np.ndarray:
    """An image ``(h, w, 3)``, unmirrored where it comes from the pipeline, at the size of the original."""
    if 'img_path' not in sample and sample.get('flip'):
        image = np.flip(image, {'horizontal': 1, 'vertical': 0}[sample.flip_direction])
    height, width = sample.ori_shape[:2]
    if image.shape[:2] == (height, width):
        return image
    return cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=cv2.INTER_LINEAR)


def picture_title(sample: BaseDataElement) -> str:
    """The title of a picture."""
    reached = [f'{100 * share:.0f} % of the area reached stage {k}' for k, share in enumerate(sample.reached) if k]
    decided = [] if 'accepted' not in sample else ['accepted' if sample.accepted else 'rejected']
    return ', '.join(
        [*decided, f'{sample.macs / 1e9:.4g} GMACs', f'mean exit stage {sample.mean_exit_stage:.2f}', *reached]
    )
