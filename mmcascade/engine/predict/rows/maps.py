# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Label maps, and the decisions on their cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mmcascade._system.files import written_whole
from mmcascade.engine.predict.inputs import ENDINGS, Item
from mmcascade.engine.predict.rows.row import Row, RowFormat

_SOURCE = 'Source'  # a keyword that PNG itself names for where an image is from
_MAX_UINT8 = 256


@dataclass(frozen=True)
class MapDecision:
    """What a cascade says of the pixels of an image.

    Attributes:
        labels: class of each pixel, uint8 or uint16 ``(H, W)``.
        macs: multiply-adds spent on it.
        reached: share of its area that ran each stage.
        cells: per cell ``bbox`` (x1, y1, x2, y2, the ends excluded), ``confidence`` (None where nothing counts or is
            finite), ``exit_stage`` and ``macs``, and ``accepted`` where cells have an accept threshold.
        confidence: of the image; None where it has none.
        accepted: whether the image is; None where images have no accept threshold.
    """

    labels: NDArray[np.unsignedinteger[Any]]
    macs: float
    reached: Sequence[float]
    cells: Sequence[dict[str, Any]]
    confidence: float | None = None
    accepted: bool | None = None


@dataclass(frozen=True)
class MapRows(RowFormat[MapDecision]):
    """How the area of an image is divided among classes and stages, and where its label map is.

    Attributes:
        stages: of the cascade.
        classes: names of the classes.
        folder: for the label maps; None = they are not written.
    """

    stages: int
    classes: tuple[str, ...] | None = None
    folder: Path | None = None

    @property
    def own(self) -> dict[str, type]:
        """See the base class."""
        return {
            'width': int,
            'height': int,
            'label_map': str,
            'class_shares': dict,
            'confidence': float,
            'accepted': bool,
            'macs': float,
            **{f'reached_stage{stage}': float for stage in range(1, self.stages)},
            'cells': list,
        }

    def filled(self, item: Item, result: MapDecision) -> Row:
        """See the base class; the label map is written."""
        height, width = result.labels.shape
        counts = np.bincount(result.labels.ravel()).tolist()
        return {
            'width': width,
            'height': height,
            'label_map': None if self.folder is None else str(put_map(item, result.labels, self.folder)),
            'class_shares': {self._name(k): count / result.labels.size for k, count in enumerate(counts) if count},
            'confidence': result.confidence,
            'accepted': result.accepted,
            'macs': result.macs,
            **{f'reached_stage{stage}': float(result.reached[stage]) for stage in range(1, self.stages)},
            'cells': list(result.cells),
        }

    def exits(self, row: Row) -> Mapping[int, float]:
        """See the base class."""
        reached = [1.0, *(row[f'reached_stage{stage}'] for stage in range(1, self.stages)), 0.0]
        return {stage: reached[stage] - reached[stage + 1] for stage in range(self.stages)}

    def _name(self, label: int) -> str:
        return self.classes[label] if self.classes else str(label)


def as_labels(labels: NDArray[np.integer[Any]]) -> NDArray[np.unsignedinteger[Any]]:
    """Labels as a PNG file holds them: 8 bits, or 16 where they do not fit."""
    return labels.astype(np.uint8 if labels.max(initial=0) < _MAX_UINT8 else np.uint16)


def put_map(item: Item, labels: NDArray[np.unsignedinteger[Any]], folder: Path) -> Path:
    """Write a label map as PNG, with the class of each pixel as its grey value.

    Its name is made of the image's key, which the file tells as its source: keys that differ only in signs that names
    of files cannot have do not share one.
    """
    path = folder / _as_png(item.name)
    if path.is_file() and _source(path) != item.key:
        path = folder / _as_png(item.unique_name)
    about = PngInfo()
    about.add_itxt(_SOURCE, item.key)
    with written_whole(path, 'wb') as file:
        Image.fromarray(labels).save(file, 'png', pnginfo=about)
    return path


def _as_png(name: str) -> str:
    stem, dot, ending = name.rpartition('.')
    return f'{stem if f"{dot}{ending}".lower() in ENDINGS else name}.png'


def _source(path: Path) -> str | None:
    with Image.open(path) as image:
        found = image.info.get(_SOURCE)
    return None if found is None else str(found)
