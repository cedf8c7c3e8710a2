# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The stages that a search makes segmentation cascades of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.replay.cell_costs import worst_case
from mmcascade.calibration.replay.exits import Chain
from mmcascade.calibration.search.candidates import NamedStages, given_costs
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.calibration.stores.identity import CascadeIdentity, StageIdentity


@dataclass(frozen=True)
class CellCandidates(NamedStages):
    """The stages of a store of cells, with names and costs.

    Attributes:
        store: the store.
        cascade: all its stages as one cascade.
        costs: float64 ``(N, stages)``, what each stage costs for each cell: multiply-adds or milliseconds.
    """

    store: CellStore
    cascade: CascadeIdentity
    costs: NDArray[np.float64]

    @classmethod
    def from_store(cls, store: CellStore, costs: Mapping[str, float] | None = None) -> CellCandidates:
        """The stages of a complete store.

        Args:
            costs: milliseconds per stage, in place of the stored multiply-adds: per image for a stage that runs on
                images, else per cell.

        Raises:
            StoreError: if the store is not complete.
            ValueError: if a stage has no cost, or the given one is no number.
        """
        cascade = store.header.identity.cascade
        cells, names = store.cells, store.header.stages
        columns = cells.macs
        if costs is not None:
            each = given_costs(costs, names)
            columns = np.tile(each, (len(cells), 1))
            if store.on[0] == 'image':
                columns[:, 0] *= cells.area / np.bincount(cells.image, cells.area)[cells.image]
        for name, column in zip(names, columns.T, strict=True):
            if not (np.isfinite(column).all() and column.mean() > 0):
                raise ValueError(
                    f'stage {name} has no cost: its mean is {column.mean():g}. Fill the store again with '
                    'a member whose cost is known, or give milliseconds with --costs'
                )
        return cls(store, cascade, columns)

    @property
    def identities(self) -> list[StageIdentity]:  # type: ignore[override]
        """What the stages are made of."""
        return list(self.cascade.stages)

    @property
    def names(self) -> list[str]:
        """What the stages are called."""
        return list(self.store.header.stages)

    def identity(self, chain: Chain) -> CascadeIdentity:
        """The identity of a chain of the stages."""
        return replace(self.cascade, stages=tuple(self.cascade.stages[stage] for stage in chain))

    def mean_costs(self) -> NDArray[np.float64]:
        """Of each stage on all cells of an image."""
        image, images = self.store.cells.image, self.store.images
        means = []
        for stage, on in enumerate(self.store.on):
            weights = self.costs[:, stage]
            if stage and on == 'image':  # repeated in every cell
                weights = weights / np.bincount(image, minlength=images)[image]
            means.append(weights.sum() / images)
        return np.array(means)

    def worst_case(self, chain: Chain, max_cells: int | None = None) -> float:
        """The most that an image can cost."""
        return worst_case(self.costs, self.store.on, chain, self.store.cells.image, self.store.images, max_cells)
