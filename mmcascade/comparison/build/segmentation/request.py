# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What is asked of a build of segmentors."""

from __future__ import annotations

from dataclasses import dataclass

from mmcascade.comparison.build.request import BuildRequest


@dataclass(frozen=True)
class SegBuildRequest(BuildRequest):
    """What is asked for of a cascade of segmentors.

    Attributes:
        cell: side of the cells in pixels of the original image; None = by the size of the first image.
        margin: context around a cell's crop.
    """

    cell: int | None = None
    margin: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.margin < 0:
            raise ValueError(f'--margin is a number of pixels from 0, got {self.margin}')

    @property
    def flags(self) -> list[str]:
        """See the base class."""
        cell = [] if self.cell is None else ['--cell', str(self.cell)]
        return [
            *super().flags,
            '--task',
            'segmentation',
            *cell,
            *(['--margin', str(self.margin)] if self.margin else []),
        ]
