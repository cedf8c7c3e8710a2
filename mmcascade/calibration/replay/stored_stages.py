# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Stored stages whose units are routed, whatever the stores hold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from mmcascade.calibration.replay.carried import Dense
from mmcascade.calibration.replay.costs import Chain, Costs, SharedTrunks
from mmcascade.calibration.replay.quality import Accuracy, MeanIoU, Quality
from mmcascade.calibration.replay.routes import Routes, route
from mmcascade.calibration.replay.units import BranchedExit, Exit, Units
from mmcascade.calibration.stores.cell_records import position
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.routing import CachedStage, CascadeState, Confidence, ExitPolicy, UnitBatch, build_confidence
from mmcascade.routing.units.unit_batch import CELLS_PER_IMAGE

_CHUNK = 4096  # units at a time, which bounds the memory for their scores


class StoredStages(ABC):
    """Stages with stored outputs over the units of one data set.

    A variant knows how outputs of stages are fused, and what a unit carries.
    """

    #: What routing alone is judged by.
    quality: Quality
    #: Of each stage, which count as its cost, see :meth:`timed`; None = its multiply-adds do.
    milliseconds: Sequence[float] | None

    @cached_property
    def units(self) -> Units:
        """The units, with the costs of all stages."""
        if self.milliseconds is None:
            return self.counted
        return replace(self.counted, costs=self.timed(self.milliseconds))

    @property
    @abstractmethod
    def counted(self) -> Units:
        """The units, with the multiply-adds of all stages."""

    @abstractmethod
    def timed(self, milliseconds: Sequence[float]) -> Costs:
        """What stages cost that take so long.

        Args:
            milliseconds: of each stage, for an image, or for a cell where the stage runs on cells.
        """

    @property
    @abstractmethod
    def strata(self) -> NDArray[np.int64]:
        """Kinds of groups, ``(G)``, which halves of the data should hold in proportion."""

    @abstractmethod
    def exits(self, chains: Iterable[Chain]) -> dict[Chain, Exit]:
        """The exits of chains and of everything they begin with, each computed once, as the router computes it."""

    @abstractmethod
    def alone(self) -> dict[int, Exit]:
        """Every stage whose own output is stored, run on all units."""

    def along(self, chain: Chain) -> list[Exit]:
        """The exits after each stage of a chain."""
        exits = self.exits([chain])
        return [exits[chain[: k + 1]] for k in range(len(chain))]

    def route(self, chain: Chain, policy: ExitPolicy, groups: ArrayLike | None = None) -> Routes:
        """Route all units, or those of some groups."""
        exits, units = self.along(chain), self.units
        if groups is not None:
            rows = units.rows(groups)
            exits, units = [exit_.select(rows) for exit_ in exits], units.of_groups(groups)
        return route(exits, policy, units, chain)


@dataclass(frozen=True)
class StoredScores(StoredStages):
    """Stored scores of classifiers; a unit carries whether it is wrong.

    Attributes:
        stages: the stored stages.
        labels: int64 ``(N)``, the true classes; -1 = out of distribution.
        confidence, fusion: of the cascade, see :class:`~mmcascade.routing.CascadeRouter`.
        milliseconds: see the base class.
    """

    stages: Sequence[CachedStage]
    labels: NDArray[np.int64]
    confidence: str | Confidence = 'max_prob'
    fusion: str = 'prob'
    milliseconds: Sequence[float] | None = None

    quality = Accuracy()

    @cached_property
    def counted(self) -> Units:
        """The units, with the multiply-adds of all stages."""
        number = np.arange(len(self.labels))
        macs = [np.broadcast_to(np.asarray(stage.macs, np.float64), number.shape) for stage in self.stages]
        costs = Costs(np.stack(macs), number, exits=self._shared_trunks(number.shape))
        return Units(number, number, costs, np.ones(len(number)), self.labels < 0)

    def timed(self, milliseconds: Sequence[float]) -> Costs:
        """See :meth:`StoredStages.timed`."""
        return self.counted.costs.measured(_on_each(milliseconds, len(self.labels)))

    def _shared_trunks(self, shape: tuple[int, ...]) -> SharedTrunks | None:
        trunk = [stage.trunk for stage in self.stages]
        if all(entry is None for entry in trunk):
            return None
        spent = [0.0 if stage.spent is None else np.asarray(stage.spent, np.float64) for stage in self.stages]
        return SharedTrunks(
            trunk, [stage.exit for stage in self.stages], np.stack([np.broadcast_to(s, shape) for s in spent])
        )

    @property
    def strata(self) -> NDArray[np.int64]:
        """Kinds of groups, ``(G)``."""
        return self.labels

    def alone(self) -> dict[int, Exit]:
        """Every stage whose own output is stored, run on all units."""
        exits = self.exits([(stage,) for stage in range(len(self.stages))])
        return {stage: exits[(stage,)] for stage in range(len(self.stages))}

    @torch.no_grad()
    def exits(self, chains: Iterable[Chain]) -> dict[Chain, Exit]:
        """The exits of chains and of everything they begin with, as the router computes them."""
        measure = build_confidence(self.confidence)
        member_score = measure.member_score(self.fusion)
        following: dict[Chain, set[int]] = defaultdict(set)
        for chain in chains:
            for k, stage in enumerate(chain):
                following[chain[:k]].add(stage)
        pieces: dict[Chain, list[tuple[NDArray, NDArray]]] = defaultdict(list)

        def descend(prefix: Chain, state: CascadeState | None, batch: UnitBatch, target: NDArray[np.int64]) -> None:
            for index in sorted(following.get(prefix, ())):
                stage, output = self.stages[index], self.stages[index](batch)
                after = (
                    CascadeState.start(output, self.fusion, stage.temperature, member_score)
                    if state is None
                    else state.add(output, stage.temperature, member_score)
                )
                wrong = after.fused.probs.argmax(1).numpy() != target
                chain = (*prefix, index)
                pieces[chain].append((measure(after).numpy(), wrong))
                descend(chain, after, batch, target)

        for start in range(0, len(self.labels), _CHUNK):
            units = np.arange(start, min(len(self.labels), start + _CHUNK))
            descend((), None, UnitBatch.submitted([], units, 0), self.labels[units])
        found = {}
        for chain, parts in pieces.items():
            confidence, wrong = (np.concatenate(column) for column in zip(*parts, strict=True))
            found[chain] = Exit(confidence, Dense(wrong[:, None]))
        return found


@dataclass(frozen=True)
class StoredCells(StoredStages):
    """A complete store of cells; a cell carries its right and its predicted pixels per class. Groups are images.

    Attributes:
        store: the cells.
        milliseconds: see the base class.
    """

    store: CellStore
    milliseconds: Sequence[float] | None = None

    quality = MeanIoU()

    @cached_property
    def counted(self) -> Units:
        """The units, with the multiply-adds of all stages."""
        cells, on = self.store.cells, self.store.on
        macs = np.ascontiguousarray(cells.macs.T)
        whole = {stage: macs[output] for stage, output in self.store.header.whole.items()}
        once = frozenset(k for k, kind in enumerate(on) if k and kind == 'image')
        label = Dense(cells.label).histogram(cells.image, self.store.images).astype(np.int64)
        return Units(
            cells.image * CELLS_PER_IMAGE + cells.cell,
            cells.image,
            Costs(macs[: self.store.stages], cells.image, once, whole=whole),
            cells.area,
            label=label,
            empty=self.store.header.empty,
        )

    def timed(self, milliseconds: Sequence[float]) -> Costs:
        """See :meth:`StoredStages.timed`. Cells share the time of a first stage that runs on images by their areas.

        Raises:
            ValueError: if a stage has a fallback, which takes another time on the whole image than on crops.
        """
        units = self.counted
        if units.costs.whole:
            raise ValueError(
                f'stage {self.store.header.stages[min(units.costs.whole)]} runs on crops or on the whole image '
                '(fallback), and milliseconds of stages name one of the two; count multiply-adds, without costs='
            )
        per_unit = _on_each(milliseconds, len(units))
        if self.store.on[0] == 'image':
            per_unit[0] *= units.area / np.bincount(units.group, units.area)[units.group]
        return units.costs.measured(per_unit)

    @property
    def strata(self) -> NDArray[np.int64]:
        """Kinds of groups, ``(G)``."""
        return np.zeros(self.store.images, np.int64)

    def exits(self, chains: Iterable[Chain]) -> dict[Chain, Exit]:
        """See :meth:`StoredStages.exits`. With 'replace' a cell keeps its last finite output.

        Raises:
            ValueError: if a chain does not begin with stage 0 or runs a stage twice.
        """
        found: dict[Chain, Exit] = {}
        for chain in chains:
            if not chain or chain[0] != 0 or len(set(chain)) < len(chain):
                raise ValueError(f'a chain runs stage 0 first and no stage twice, got {list(chain)}')
            for length in range(1, len(chain) + 1):
                if chain[:length] not in found:
                    found[chain[:length]] = self._exit(chain[:length], found)
        return found

    def alone(self) -> dict[int, Exit]:
        """Every stage whose own output is stored, run on all units."""
        return {stage: self._exit((stage,), {}) for stage in range(self.store.stages) if self._has(stage)}

    def _has(self, stage: int) -> bool:
        """Whether the outputs of a stage are stored by themselves."""
        return (stage,) in self.store.subsets

    def _exit(self, chain: Chain, found: dict[Chain, Exit]) -> Exit:
        before = found.get(chain[:-1])
        ways = before.by_whole if isinstance(before, BranchedExit) else {0: before}
        here, now = 1 << len(chain) - 1, {}
        for bits, last in ways.items():
            for taken in (bits, bits | here) if chain[-1] in self.store.header.whole else (bits,):
                now[taken] = self._after(self._outputs(chain, taken), last)
        return BranchedExit.of(now) if len(now) > 1 else now[0]

    def _outputs(self, chain: Chain, bits: int) -> Chain:
        """What stages of a chain gave, where those at some positions ran on the whole image."""
        whole = self.store.header.whole
        return tuple(whole[stage] if bits >> position & 1 else stage for position, stage in enumerate(chain))

    def _after(self, outputs: Chain, last: Exit | None) -> Exit:
        if self.store.header.fusion != 'replace':
            return self._stored(outputs)
        now = self._stored(outputs[-1:])
        if last is None:
            return now
        finite = now.confidence != -np.inf
        assert isinstance(now.carried, Dense) and isinstance(last.carried, Dense)
        return Exit(
            np.where(finite, now.confidence, last.confidence),
            Dense(np.where(finite[:, None], now.carried.values, last.carried.values)),
        )

    def _stored(self, subset: Chain) -> Exit:
        cells, at = self.store.cells, position(self.store.subsets, subset)
        return Exit(cells.confidence[:, at], Dense(np.concatenate([cells.intersect[:, at], cells.predicted[:, at]], 1)))


def _on_each(milliseconds: Sequence[float], units: int) -> NDArray[np.float64]:
    """The same for every unit, ``(stages, units)``."""
    return np.repeat(np.asarray(milliseconds, np.float64)[:, None], units, 1)
