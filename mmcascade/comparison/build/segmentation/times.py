# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What segmentors take on this machine, on whole images and on cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmcascade.comparison.build.request import COSTS
from mmcascade.comparison.build.segmentation.material import SegMaterial, on_whole_images
from mmcascade.comparison.build.segmentation.request import SegBuildRequest
from mmcascade.comparison.build.times import Effort, measured_times
from mmcascade.engine.console.progress import Say

#: So many images are timed, as those of segmentors are large.
_IMAGES = 8


@dataclass(frozen=True)
class SegTimes:
    """Milliseconds of members.

    Attributes:
        whole: of each on a whole image, by name, fast first.
        cells: of each but the fastest on a cell, by name.
    """

    whole: Mapping[str, float]
    cells: Mapping[str, float]

    @property
    def fast_first(self) -> list[str]:
        """Names of all members."""
        return list(self.whole)

    def of_stages(self, order: Sequence[str]) -> list[float]:
        """Of the stages of a cascade, the first of which runs on images and the others on cells."""
        first, *later = order
        return [self.whole[first], *(self.cells[name] for name in later)]

    def of_members(self, order: Sequence[str]) -> list[float]:
        """Of members on whole images."""
        return [self.whole[name] for name in order]


def measured_segmentors(material: SegMaterial, request: SegBuildRequest, say: Say) -> SegTimes:
    """Time all members, first on whole images, then those that do not run first on cells.

    Args:
        material: the members and the images.
        request: what is asked for.
        say: prints one line of progress.
    """
    path, cheap_first = request.out / COSTS, list(material.named)
    config = on_whole_images(material.config(cheap_first))
    whole = measured_times(config, [f'{name} on images' for name in cheap_first], path, Effort(_IMAGES), say)
    times = {name: time for time, name in sorted(zip(whole, cheap_first, strict=True))}
    margin = f' with a margin of {material.grid["margin"]}' if material.grid['margin'] else ''
    first, *later = times
    names = [f'{first} on images', *(f'{name} on cells of {material.grid["cell"]}{margin}' for name in later)]
    _, *cells = measured_times(material.config([*times]), names, path, Effort(_IMAGES, material.cells), say)
    return SegTimes(times, dict(zip(later, cells, strict=True)))
