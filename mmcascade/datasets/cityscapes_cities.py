# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Cityscapes, city by city."""

from __future__ import annotations

import os.path as osp
from collections.abc import Sequence
from typing import Any

from mmseg.datasets import CityscapesDataset

from mmcascade.registry import DATASETS


@DATASETS.register_module()
class CityscapesCities(CityscapesDataset):
    """The images of some cities of Cityscapes, so that one part of a split can be held out by place.

    Each sample carries its city as ``drive``, by which :class:`mmcascade.datasets.CalibrationSplit` splits.

    Args:
        cities: names as in the file names, such as ``('ulm', 'zurich')``; None = all.
        kwargs: those of MMSegmentation's ``CityscapesDataset``.

    Raises:
        ValueError: if a city has no image there; the message lists those that have.
    """

    def __init__(self, cities: Sequence[str] | None = None, **kwargs: Any) -> None:
        if isinstance(cities, str):
            raise TypeError(f"cities is a list of names such as ['ulm', 'zurich'], got {cities!r}")
        self.cities = None if cities is None else tuple(cities)
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """The images of the cities with their labels."""
        images = [dict(info, drive=city_of(info['img_path'])) for info in super().load_data_list()]
        if self.cities is None:
            return images
        there = sorted({info['drive'] for info in images})
        if missing := sorted(set(self.cities) - set(there)):
            raise ValueError(f'no image of {missing} in {self.data_prefix["img_path"]!r}; there are images of {there}')
        return [info for info in images if info['drive'] in self.cities]


def city_of(path: str) -> str:
    """The city of an image, which its file name begins with.

    Example:
        >>> city_of('leftImg8bit/train/ulm/ulm_000000_000019_leftImg8bit.png')
        'ulm'
    """
    return osp.basename(path).split('_')[0]
