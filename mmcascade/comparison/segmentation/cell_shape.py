# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How a comparison writes the cells that it tries."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CellShape:
    """How images are cut, and how many cells of one may go on; None = all."""

    height: int
    width: int
    most: int | None = None

    @classmethod
    def parse(cls, cell: Any) -> CellShape:
        """From the side of a square, (height, width), or a text such as '160', '72x480' or '72x480@2'.

        Raises:
            ValueError: on anything else.
        """
        if not isinstance(cell, str):
            cell = 'x'.join(map(str, cell)) if isinstance(cell, (tuple, list)) else str(cell)
        found = re.fullmatch(r'(\d+)(?:x(\d+))?(?:@(\d+))?', cell)
        if found is None:
            raise ValueError(f'cells are written like 160, 72x480 or 72x480@2, got {cell!r}')
        height, width, most = found.groups()
        return cls(int(height), int(width or height), None if most is None else int(most))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of a cell, in pixels."""
        return self.height, self.width

    @property
    def size(self) -> str:
        """How many units or images it is going to hold."""
        return str(self.height) if self.height == self.width else f'{self.height}x{self.width}'

    def __str__(self) -> str:
        return self.size if self.most is None else f'{self.size}@{self.most}'
