# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Images with their cells by exit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mmcascade.calibration.replay.routes import Routes
from mmcascade.visualization.report.gallery import Picture, thumbnail

MOST_IMAGES, _SIDE = 9, 320

#: From the size of an image, height and width, to its cells: x, y, width and height in pixels.
Boxes = Callable[[int, int], list[tuple[int, int, int, int]]]


@dataclass(frozen=True)
class CellImages:
    """The images that cells lie in.

    Attributes:
        names: of the images, such as their paths.
        picture: gives one of them.
        boxes: of its cells.
    """

    names: Sequence[str]
    picture: Picture
    boxes: Boxes


@dataclass(frozen=True)
class CellPicture:
    """An image with its cells by exit: a data URL, its name, its size and ``x, y, width, height, stage`` per cell."""

    picture: str
    name: str
    size: tuple[int, int]
    cells: list[tuple[int, int, int, int, int]]
    deferred: float


def cell_pictures(routes: Routes, images: CellImages, seed: int = 0) -> list[CellPicture]:
    """A draw of images, those with most cells that went on first."""
    order = np.random.default_rng(seed).permutation(routes.units.groups)
    found: list[CellPicture] = []
    for image in order[: 2 * MOST_IMAGES].tolist():
        cells = np.flatnonzero(routes.units.group == image)
        pixels = images.picture(image)
        picture = thumbnail(pixels, _SIDE)
        if pixels is None or picture is None or len(found) >= MOST_IMAGES:
            continue
        height, width = pixels.shape[:2]
        boxes = images.boxes(height, width)
        if len(boxes) != len(cells):
            continue  # the image is not the one that the store knows
        stages = routes.exit_stage[cells].tolist()
        placed = [(*box, stage) for box, stage in zip(boxes, stages, strict=True)]
        found.append(
            CellPicture(picture, images.names[image], (width, height), placed, float(np.mean(np.array(stages) > 0)))
        )
    return sorted(found, key=lambda each: -each.deferred)
