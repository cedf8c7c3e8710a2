# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What an export found on the images that it was checked on, in numbers and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ExportReport:
    """What the export found on the images that it was checked on.

    Attributes:
        images: how many there were.
        largest_difference: of a fused probability to torch's, among images that left after the same stage.
        other_decisions: images that left after another stage or were accepted otherwise; all lie on a bound.
        reached: share of the images that got to each stage but the first.
        accepted: share that was accepted; None without a threshold.
        graphs: file names of the graphs.
        fixed: members whose graph holds at one batch size only.
    """

    images: int
    largest_difference: float
    other_decisions: int
    reached: tuple[float, ...]
    accepted: float | None
    graphs: tuple[str, ...]
    fixed: tuple[str, ...]

    @property
    def expected(self) -> dict[str, Any]:
        """What a server compares later images with."""
        return _expected(self.images, self.reached, self.accepted)

    def sentences(self) -> list[str]:
        """The report in words."""
        lines = [
            f'On {self.images} images the bundle and torch agree to {self.largest_difference:.1e} in probability; '
            f'{_others(self.other_decisions)}.'
        ]
        lines += _shares('Images', self.reached, self.accepted)
        if self.fixed:
            lines.append(f'Graphs that hold at one batch size and are padded: {", ".join(self.fixed)}.')
        return lines


@dataclass(frozen=True)
class SegmentationReport:
    """What the export found on the images that it was checked on.

    Attributes:
        images: how many there were.
        cells: in all of them.
        largest_difference: of a fused probability to torch's, in cells that left after the same stage.
        other_decisions: cells that left after another stage or were accepted otherwise; all lie on a bound.
        other_labels: share of pixels with another label, in cells that left after the same stage; their best two
            classes are as good as equal.
        reached: share of the cells that got to each stage but the first.
        accepted: share of the cells that was accepted; None without a threshold.
        graphs: file names of the graphs.
    """

    images: int
    cells: int
    largest_difference: float
    other_decisions: int
    other_labels: float
    reached: tuple[float, ...]
    accepted: float | None
    graphs: tuple[str, ...]

    @property
    def expected(self) -> dict[str, Any]:
        """What a server compares later cells with."""
        return _expected(self.cells, self.reached, self.accepted)

    def sentences(self) -> list[str]:
        """The report in words."""
        lines = [
            f'On {self.cells:,} cells of {self.images} images the bundle and torch agree to '
            f'{self.largest_difference:.1e} in probability; {_others(self.other_decisions)}. '
            f'{100 * self.other_labels:.2g} % of the pixels are labelled otherwise.'
        ]
        lines += _shares('Cells', self.reached, self.accepted)
        return lines


def _expected(units: int, reached: Sequence[float], accepted: float | None) -> dict[str, Any]:
    return {'units': units, 'reached': list(reached), 'accepted': accepted}


def _others(count: int) -> str:
    return f'{count} decision(s) differ, each within rounding of a bound' if count else 'no decision differs'


def _shares(units: str, reached: Sequence[float], accepted: float | None) -> list[str]:
    """Sentences on who went on, and who was accepted."""
    lines = []
    if reached:
        shares = ', '.join(f'{100 * share:.1f} % to stage {index + 1}' for index, share in enumerate(reached))
        lines.append(f'{units} that went on: {shares}.')
    if accepted is not None:
        lines.append(f'Of all {units.lower()}, {100 * accepted:.1f} % were accepted.')
    return lines
