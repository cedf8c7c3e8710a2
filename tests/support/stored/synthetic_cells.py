# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Stores of cells with sound histograms, without any member."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from mmcascade.calibration.stores.cell_records import CellRecords, stored_subsets
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.calibration.stores.header import CellHeader
from tests.support.stored.synthetic_scores import stored_identity, with_fallbacks

NAMES = ['small', 'middle', 'large', 'huge']
COSTS = [100.0, 40.0, 80.0, 200.0]  # of stage 0 per image, else per cell
WHOLE = 3.0  # cells cost as much as the whole image


def image_records(
    rng: np.random.Generator,
    cells: int,
    classes: int,
    on: list[str],
    fusion: str,
    odd: float = 0.0,
    fallbacks: Sequence[int] = (),
) -> CellRecords:
    """One image. Later and larger subsets are right more often; a share ``odd`` of confidences is NaN or -inf."""
    subsets = stored_subsets(len(on), fusion, fallbacks)
    area = rng.integers(30, 60, cells)
    labelled = (area * rng.uniform(0.5, 1.0, cells)).astype(np.int64)
    label = np.stack([rng.multinomial(n, rng.dirichlet(np.full(classes, 0.4))) for n in labelled])
    ease = rng.uniform(0.2, 1.0, cells)
    intersect = np.zeros((cells, len(subsets), classes), np.int32)
    predicted, confidence = intersect.copy(), np.zeros((cells, len(subsets)), np.float32)
    for at, subset in enumerate(subsets):
        skill = 0.5 + 0.1 * max(subset) + 0.04 * len(subset)
        right = rng.binomial(label, (skill * ease**0.3)[:, None].clip(0, 1))
        wrong = np.stack([rng.multinomial(n, np.full(classes, 1 / classes)) for n in (label - right).sum(1)])
        intersect[:, at], predicted[:, at] = right, right + wrong
        confidence[:, at] = (right.sum(1) + 1) / (label.sum(1) + 2) * 0.7 + 0.3 * rng.uniform(0, 1, cells)
    strange = rng.uniform(size=confidence.shape)
    confidence[strange < odd] = np.nan
    confidence[strange < odd / 2] = -np.inf
    macs = np.stack(
        [
            COSTS[k] * area / area.sum()
            if k == 0 and kind == 'image'
            else np.full(cells, COSTS[k] * (cells if kind == 'image' else 1))
            for k, kind in enumerate(on)
        ]
        + [np.full(cells, COSTS[k] * WHOLE) for k in fallbacks],
        1,
    )
    return CellRecords(np.arange(cells), area, label.astype(np.int32), confidence, intersect, predicted, macs)


def make_cell_store(
    folder: Path,
    images: int = 20,
    *,
    cells: int = 8,
    classes: int = 5,
    stages: int = 3,
    fusion: str = 'prob',
    empty: str = 'go_on',
    on: list[str] | None = None,
    odd: float = 0.0,
    seed: int = 0,
    filled: int | None = None,
    fallbacks: Sequence[int] = (),
    **header: Any,
) -> CellStore:
    """A store of images of ``cells`` or one cell less."""
    on = on or ['image', *['cell'] * (stages - 1)]
    rng = np.random.default_rng(seed)
    described = CellHeader(
        identity=with_fallbacks(
            stored_identity(NAMES[:stages], images, confidence='max_prob', fusion=fusion), fallbacks
        ),
        images=images,
        classes=classes,
        stages=NAMES[:stages],
        on=on,
        fusion=fusion,
        confidence='max_prob',
        empty=empty,
        **header,
    )
    store = CellStore.create(folder, described)
    with mock.patch('os.fsync'):  # nobody pulls the plug here
        for image in range(images if filled is None else filled):
            store.append(image, image_records(rng, cells - image % 2, classes, on, fusion, odd, fallbacks))
    return store
