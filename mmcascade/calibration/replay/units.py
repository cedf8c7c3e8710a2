# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The units of a data set, and where they stand after a stage."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmcascade.calibration.replay.carried import Carried, Dense
from mmcascade.calibration.replay.costs import Costs


@dataclass(frozen=True)
class Exit:
    """N units after the last stage of a chain.

    Attributes:
        confidence: float32 or float64 ``(N)`` as the router computes it, higher = more certain; -inf where no stage
            gave finite output, NaN for a cell of which no pixel counts.
        carried: what the units add to the figures of the data set if they leave here.
    """

    confidence: NDArray[np.floating]
    carried: Carried

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Bool ``(N)``, of classified images: whether the fused prediction is not the label."""
        assert isinstance(self.carried, Dense) and self.carried.size == 1
        return self.carried.values[:, 0]

    def select(self, rows: NDArray) -> Exit:
        """Some of the units."""
        return Exit(self.confidence[rows], self.carried.select(rows))


@dataclass(frozen=True)
class Units:
    """N units in G groups, in the order of their groups.

    Attributes:
        number: int64 ``(N)``, the index of a unit in the data set, as policies know it.
        group: int64 ``(N)``, rising from 0: the image of a cell; a classified image is a group of its own.
        costs: multiply-adds of all stages.
        area: ``(N)``, by which the units of a group share what the group counts for.
        ood: bool ``(N)``, which units have no class; None = all have.
        label: int64 ``(G, C)``, labelled pixels per class, of segmented images; else None.
        empty: what units do whose score is NaN, 'go_on' or 'exit'; None = there are none.
    """

    number: NDArray[np.int64]
    group: NDArray[np.int64]
    costs: Costs
    area: NDArray
    ood: NDArray[np.bool_] | None = None
    label: NDArray[np.int64] | None = None
    empty: str | None = None

    def __len__(self) -> int:
        return len(self.group)

    @cached_property
    def groups(self) -> int:
        """G."""
        return self.costs.groups

    @cached_property
    def labelled(self) -> NDArray[np.float64]:
        """Labelled pixels per class of all groups, ``(C)``."""
        assert self.label is not None
        return self.label.sum(0, dtype=np.float64)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Where each group begins, ``(G)``."""
        return np.unique(self.group, return_index=True)[1]

    def rows(self, groups: ArrayLike) -> NDArray[np.int64]:
        """The units of some groups.

        Raises:
            ValueError: if these do not rise, or are not there.
        """
        chosen = np.asarray(groups, np.int64)
        if (np.diff(chosen) <= 0).any() or chosen.min(initial=0) < 0 or chosen.max(initial=0) >= self.groups:
            raise ValueError(f'groups are rising indexes from 0 to {self.groups - 1}, got {chosen.tolist()}')
        return np.flatnonzero(np.isin(self.group, chosen))

    def of_groups(self, groups: ArrayLike) -> Units:
        """The units of some groups, which are numbered anew."""
        rows, chosen = self.rows(groups), np.asarray(groups, np.int64)
        group = np.searchsorted(chosen, self.group[rows])
        return replace(
            self,
            number=self.number[rows],
            group=group,
            costs=self.costs.select(rows, group),
            area=self.area[rows],
            ood=None if self.ood is None else self.ood[rows],
            label=None if self.label is None else self.label[chosen],
        )


def deferral_scores(confidence: NDArray[np.floating], empty: str | None) -> NDArray[np.floating]:
    """Scores by whose order units go on: -inf goes on in every window, inf in none.

    Args:
        confidence: ``(N)``; -inf and NaN have no score.
        empty: what units do whose score is NaN; None = there are none.
    """
    if empty is None:
        return confidence
    missing = -np.inf if empty == 'go_on' else np.inf
    return np.where(np.isnan(confidence), confidence.dtype.type(missing), confidence)
