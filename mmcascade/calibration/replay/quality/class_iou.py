# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Intersection over union of one class."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.replay.quality.miou import MeanIoU, pixel_counts
from mmcascade.calibration.replay.routes import Routes
from mmcascade.calibration.replay.units import Units
from mmcascade.evaluation.curves.iou import class_iou


class ClassIoU(MeanIoU):
    """Intersection over union of one class. A cell carries what it carries for the mIoU.

    Args:
        index: number of the class.
        name: what it is called; default its number.
    """

    def __init__(self, index: int, name: str | None = None) -> None:
        self.index = index
        self.written = str(index) if name is None else name
        self.kind = f'IoU of {self.written}'

    def __str__(self) -> str:
        return f'iou[{self.written}]'

    def of(self, sums: NDArray[Any], units: Units) -> NDArray[np.float64]:
        """The quality ``(...)`` of sums ``(..., K)`` over all units; NaN where there is no such pixel."""
        classes, at = sums.shape[-1] // 2, slice(self.index, self.index + 1)
        return class_iou(sums[..., :classes][..., at], sums[..., classes:][..., at], units.labelled[at])[..., 0]

    accuracy = of

    def measure(self, routes: Routes, groups: NDArray[np.int64] | None = None) -> float:
        """The quality of what a cascade does, exact."""
        return float(class_iou(*pixel_counts(routes, groups))[self.index])


def class_number(name: str, classes: Sequence[str] | int) -> int:
    """The number of a class that is named, or whose number is given.

    Args:
        name: of the class, or its number as digits; a name that is made of digits goes first.
        classes: all names, or how many there are where nobody knows names.

    Raises:
        ValueError: if there is none, with the nearest name.

    Example:
        >>> class_number('car', ['road', 'car']), class_number('0', 2)
        (1, 0)
    """
    names = [] if isinstance(classes, int) else list(classes)
    if name in names:
        return names.index(name)
    count = classes if isinstance(classes, int) else len(names)
    if name.isdecimal() and int(name) < count:
        return int(name)
    close = get_close_matches(name, names, 1)
    hint = f'; did you mean {close[0]!r}?' if close else ''
    known = f': {", ".join(names)}' if names else ''
    raise ValueError(f'there is no class {name!r} among the {count} classes{known}{hint}')
