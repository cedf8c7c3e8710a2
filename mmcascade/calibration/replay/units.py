# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The units of a data set, and where they stand after a stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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

    def branches(self, whole: NDArray[np.int64]) -> Iterator[tuple[Exit, NDArray[np.bool_] | None]]:
        """What units are here, by what ran on their whole image before.

        Args:
            whole: ``(...)``, per group: bit p is set where the stage at position p of the chain ran on the whole image.

        Yields:
            An exit of all units, and which of the groups it holds for, ``(...)``; None = all.
        """
        del whole
        yield self, None

    def confidence_of(self, rows: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.floating]:
        """The confidence of some units, whose groups are as ``whole`` says, one entry for each of them."""
        confidence = self.confidence[rows]
        for exit_, here in self.branches(whole):
            if here is not None:
                confidence[here] = exit_.confidence[rows[here]]
        return confidence


@dataclass(frozen=True)
class BranchedExit(Exit):
    """Units after a chain with stages that run on the whole image where crops would cost as much.

    Its own confidence, and what it carries, are those where no stage has.

    Attributes:
        by_whole: the exit of all units for each set of positions in the chain whose stages ran on the whole image, as
            bits; 0 is among them.
    """

    by_whole: Mapping[int, Exit]

    @classmethod
    def of(cls, by_whole: Mapping[int, Exit]) -> BranchedExit:
        """From all branches."""
        return cls(by_whole[0].confidence, by_whole[0].carried, by_whole)

    def select(self, rows: NDArray) -> BranchedExit:
        """Some of the units."""
        return BranchedExit.of({bits: exit_.select(rows) for bits, exit_ in self.by_whole.items()})

    def branches(self, whole: NDArray[np.int64]) -> Iterator[tuple[Exit, NDArray[np.bool_] | None]]:
        """See :meth:`Exit.branches`."""
        passed = whole & max(self.by_whole)  # the largest has all bits of the way to here
        for bits, exit_ in self.by_whole.items():
            here = passed == bits
            if here.any():
                yield exit_, here


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


def leaving(
    exits: Sequence[Exit], exit_stage: NDArray[np.int64], ways: NDArray[np.int64]
) -> Iterator[tuple[Exit, NDArray[np.int64]]]:
    """Where units leave: exits, and the units that leave there, in the order of the stages.

    Args:
        exits: after each stage of a chain.
        exit_stage: int64 ``(N)``, position in the chain where each unit leaves.
        ways: int64 ``(N)``, which stages ran on the whole image of each unit, as for :meth:`Exit.branches`.
    """
    for stage, exit_ in enumerate(exits):
        rows = np.flatnonzero(exit_stage == stage)
        for branch, there in exit_.branches(ways[rows]) if len(rows) else ():
            yield branch, rows if there is None else rows[there]


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
