# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""When a stage is run on the whole image in place of crops: the one rule, for routing and for its replay."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def whole_image_pays(cells: ArrayLike, per_cell: ArrayLike, whole: ArrayLike) -> NDArray[np.bool_]:
    """Whether the crops of so many cells of an image cost at least as much as the whole image.

    Args:
        cells: how many cells of the image need the stage; none never pay.
        per_cell: multiply-adds of a crop.
        whole: multiply-adds of the whole image.
    """
    count = np.asarray(cells)
    return (count > 0) & (count * np.asarray(per_cell, np.float64) >= whole)
