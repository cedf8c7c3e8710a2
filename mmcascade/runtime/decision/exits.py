# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Exits of one network in a bundle: what a graph leaves behind of each image, for a later graph to go on from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mmcascade.runtime.decision.fusion import Floats
from mmcascade.runtime.errors import BundleError
from mmcascade.runtime.fields import Fields, is_whole

#: Shape of what is left behind of one image.
Shape = tuple[int, ...]
#: The most numbers that are left behind of one image, in one array.
MAX_NUMBERS = 1 << 28
_MAX_ARRAYS, _MAX_DIMS = 100, 8


class BundleExit(Protocol):
    """What is asked about a stage of a bundle; see :class:`~mmcascade.runtime.description.manifest.BundleStage`."""

    @property
    def graph(self) -> str: ...  # noqa: D102
    @property
    def view(self) -> int: ...  # noqa: D102
    @property
    def continues(self) -> int | None: ...  # noqa: D102
    @property
    def leaves(self) -> tuple[Shape, ...]: ...  # noqa: D102


class ExitRun(Protocol):
    """What runs the graph of an exit."""

    def go_on(self, inputs: Sequence[NDArray]) -> tuple[Floats, list[Floats]]:
        """Class values, and what is left behind, of images or of what an earlier exit left behind of them."""
        ...


class LeftBehind:
    """What exits left behind of the images that are still on their way, row by row.

    Args:
        stages: of the cascade.
    """

    def __init__(self, stages: Sequence[BundleExit]) -> None:
        self._last = {stage.continues: index for index, stage in enumerate(stages)}
        self._kept: dict[int, list[Floats]] = {}

    def inputs(self, stage: BundleExit, images: Sequence[NDArray[np.uint8]]) -> list[NDArray]:
        """What the graph of an exit takes.

        Raises:
            BundleError: if images differ in size: there is one shape for what is left behind of them.
        """
        if stage.continues is not None:
            return list(self._kept[stage.continues])
        if len({image.shape for image in images}) > 1:
            raise BundleError(
                f'{stage.graph} is an exit that later ones go on from, and takes images of one size at a time; end '
                'the steps of its view with a fixed size, or decide on images of one size'
            )
        return [np.stack(images)]

    def keep(self, index: int, arrays: list[Floats], going: NDArray[np.bool_]) -> None:
        """Keep what later exits go on from, of the images that a stage sends on."""
        if index in self._last:
            self._kept[index] = arrays
        self._kept = {
            number: [array[going] for array in kept]
            for number, kept in self._kept.items()
            if self._last[number] > index
        }


def read_leaves(fields: Fields) -> tuple[Shape, ...]:
    """The shapes of what a stage leaves behind, none where it says nothing.

    Raises:
        BundleError: if they are none.
    """
    if 'leaves' not in fields:
        return ()
    shapes = fields.items('leaves', most=_MAX_ARRAYS)
    for shape in shapes:
        fine = isinstance(shape, list) and len(shape) <= _MAX_DIMS and all(is_whole(n) and n >= 1 for n in shape)
        if not fine or math.prod(shape) > MAX_NUMBERS:
            raise fields.wrong('leaves', f'a list of shapes, each of at most {MAX_NUMBERS} numbers per image')
    return tuple(tuple(shape) for shape in shapes)


def read_continues(fields: Fields, before: Sequence[BundleExit], view: int) -> int | None:
    """The stage that another one goes on from, or None.

    Raises:
        BundleError: if that leaves nothing behind, or sees another view.
    """
    if 'continues' not in fields:
        return None
    number = fields.whole('continues', 0, max(len(before) - 1, 0))
    if number >= len(before) or not before[number].leaves or before[number].view != view:
        raise fields.wrong('continues', 'an earlier stage on the same view that leaves something behind')
    return number
