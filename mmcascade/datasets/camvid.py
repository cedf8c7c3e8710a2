# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""CamVid, street scenes from a moving car."""

from __future__ import annotations

import os.path as osp
from typing import Any

from mmseg.datasets import BaseSegDataset

from mmcascade.registry import DATASETS


@DATASETS.register_module()
class CamVidDataset(BaseSegDataset):
    """CamVid with 11 classes (Brostow, Fauqueur and Cipolla 2009), as ``tools/dataset_converters/camvid.py`` writes it.

    Each sample carries its ``drive``, the sequence that the frame is from (``'0001TP'``, ``'0006R0'``, ``'0016E5'`` or
    ``'Seq05VD'``). ``PackSegInputs`` keeps it where its ``meta_keys`` name it. Frames of one drive resemble each other,
    so how well a model does is best seen drive by drive.

    Args:
        img_suffix: of the image files.
        seg_map_suffix: of the label files; pixels of 255 are void.
        kwargs: those of MMSegmentation's ``BaseSegDataset``.
    """

    METAINFO = dict(
        classes=(
            'sky',
            'building',
            'pole',
            'road',
            'pavement',
            'tree',
            'sign_symbol',
            'fence',
            'car',
            'pedestrian',
            'bicyclist',
        ),
        palette=[
            [128, 128, 128],
            [128, 0, 0],
            [192, 192, 128],
            [128, 64, 128],
            [60, 40, 222],
            [128, 128, 0],
            [192, 128, 128],
            [64, 64, 128],
            [64, 0, 128],
            [64, 64, 0],
            [0, 128, 192],
        ],
    )

    def __init__(self, img_suffix: str = '.png', seg_map_suffix: str = '.png', **kwargs: Any) -> None:
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, reduce_zero_label=False, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """The images with their labels, and the drive of each."""
        return [dict(info, drive=drive_of(info['img_path'])) for info in super().load_data_list()]


def drive_of(path: str) -> str:
    """The sequence of a frame, which its file name begins with.

    Example:
        >>> drive_of('img_dir/test/Seq05VD_f00030.png')
        'Seq05VD'
    """
    return osp.basename(path).split('_')[0]
