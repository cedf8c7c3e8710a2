# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Which images a data set holds."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np


def unit_keys(dataset: Any) -> list[bytes]:
    """One key per image of an mmengine data set: its path, or its content where it lies in memory."""
    return [unit_key(dataset.get_data_info(index)) for index in range(len(dataset))]


def unit_key(info: dict[str, Any]) -> bytes:
    """The key of one image, from its entry in the data set."""
    if 'img_path' in info:
        return str(info['img_path']).encode()
    return hashlib.sha1(np.ascontiguousarray(info['img']).tobytes(), usedforsecurity=False).digest()


def check_disjoint(calibration: list[bytes], test: list[bytes]) -> None:
    """Thresholds that were fitted on test images are worth nothing on them.

    Raises:
        ValueError: if more than 1 % of the calibration images are test images. (Some public data sets hold a few
            images twice.)
    """
    shared = len(set(calibration) & set(test))
    if shared > 0.01 * len(calibration):
        raise ValueError(
            f'{shared} of the {len(calibration)} calibration images are also test images, so the test would not be '
            'one. Let val_dataloader and test_dataloader name different images, for instance with '
            "mmcascade.CalibrationSplit(part='calibration') and part='rest'"
        )
