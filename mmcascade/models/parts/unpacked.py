# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a batch of a data loader holds for a cascade."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.structures import BaseDataElement

from mmcascade.routing.units.sources import Source, UnitNumbers

#: As a data loader or a data preprocessor gives it: inputs, and perhaps data samples.
LoaderBatch = dict[str, Any] | tuple[Any, ...] | list[Any]


@dataclass(frozen=True)
class Unpacked:
    """A batch, taken apart.

    Attributes:
        sources: what its units lie in.
        units: per source, the numbers of its units.
        samples: one data sample per image, which the results are written to.
        counts: how many units each image has, in the order of the sources.
    """

    sources: Sequence[Source]
    units: Sequence[UnitNumbers]
    samples: Sequence[BaseDataElement]
    counts: Sequence[int]

    @property
    def parts(self) -> list[tuple[Source, UnitNumbers]]:
        """Each source with the numbers of its units, as the router takes them."""
        return list(zip(self.sources, self.units, strict=True))
