# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Cascades over stored units of both kinds, beside the real router over the very outputs that were stored.

A case knows a chain of stages in two ways: as the files of a store, which the replay and the grids read, and as stages
that the :class:`~mmcascade.routing.CascadeRouter` runs. What the router does is summed up here by slow loops.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from mmcascade.calibration.stores.cell_records import CellRecords, stored_subsets
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.calibration.stores.header import CellHeader
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.models.cells.pixels.pixel_results import PixelResults, labels_of
from mmcascade.routing import CascadeRouter, CascadeState, ExitPolicy, StageOutput
from mmcascade.routing.confidences.cell_confidence import CellConfidence
from mmcascade.routing.units.sources import ViewRows
from mmcascade.routing.units.unit_batch import CELLS_PER_IMAGE
from tests.support.stored.synthetic_scores import make_store, skilled_logits, stored_identity, with_fallbacks

COSTS = [1.0, 2.0, 5.0, 9.0]


@dataclass(frozen=True)
class Given:
    """A stage that gives what is known of its units, by their place in the data set."""

    values: torch.Tensor
    is_logits: bool
    batch_size: int | None = None
    temperature: float = 1.0
    views: tuple[int, ...] = ()
    by_source: bool = False

    def __call__(self, batch):
        values = self.values[torch.as_tensor(batch.row)]
        return StageOutput(
            logits=values if self.is_logits else None, probabilities=None if self.is_logits else values, macs=0.0
        )


@dataclass(frozen=True)
class GivenCells(Given):
    """The same of cells, which a batch names by image and cell.

    Attributes:
        number: ``(N)``, the cells' numbers in the data set, rising.
    """

    number: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def __call__(self, batch):
        return StageOutput(probabilities=self.values[np.searchsorted(self.number, batch.unit)], macs=0.0)


@dataclass(frozen=True)
class GivenFallback(GivenCells):
    """Crops, or the whole image where the crops of the cells that need the stage cost as much.

    Attributes:
        whole: what the member gives on the whole image.
        prices: of a crop, and of the whole image.
    """

    by_source: bool = True
    whole: torch.Tensor = torch.zeros(0)
    prices: tuple[float, float] = (0.0, 0.0)

    def __call__(self, batch):
        crop, whole = self.prices
        image = batch.unit // CELLS_PER_IMAGE
        on_image = torch.tensor([bool((image == one).sum() * crop >= whole) for one in image]).view(-1, 1, 1, 1)
        rows = np.searchsorted(self.number, batch.unit)
        return StageOutput(probabilities=torch.where(on_image, self.whole[rows], self.values[rows]), macs=0.0)


@dataclass(frozen=True)
class Routed:
    """What the router did, summed up slowly.

    Attributes:
        exit_stage, confidence: ``(N)``.
        cost: per group.
        sums: ``(K)``, what all units carry at their exit.
    """

    exit_stage: np.ndarray
    confidence: np.ndarray
    wrong: np.ndarray | None
    cost: np.ndarray
    sums: np.ndarray


def slow_costs(exit_stage, chain, costs, group, once, groups, whole=None):
    """Unit by unit and stage by stage; a stage in ``once`` is paid when the first unit of a group runs it.

    With ``whole``, the prices of stages on the whole image, a group pays no more than those.
    """
    whole = whole or {}
    total, paid = np.zeros(groups), set()
    for one in range(groups):
        for stage in set(chain) & whole.keys():
            rows = [unit for unit in np.flatnonzero(group == one) if stage in chain[: exit_stage[unit] + 1]]
            total[one] += min(sum(costs[stage, unit] for unit in rows), whole[stage] if rows else 0)
    for unit, last in enumerate(exit_stage):
        for stage in set(chain[: last + 1]) - whole.keys():
            if stage in once:
                if (group[unit], stage) in paid:
                    continue
                paid.add((group[unit], stage))
            total[group[unit]] += costs[stage, unit]
    return total


class ScoreCase:
    """Images of a classifier cascade; a share of the outputs is not finite."""

    def __init__(self, folder: Path, units=25, stages=4, seed=0, broken=0.0, fusion='prob', coarse=False):
        logits, self.labels = skilled_logits(units, 4, [1.0 + 0.3 * k for k in range(stages)], seed)
        rng = np.random.default_rng(seed)
        for rows in logits:
            if coarse:
                rows[:] = np.round(rows)
            rows[rng.random(units) < broken] = np.nan
        self.fusion, self.stages = fusion, [Given(torch.from_numpy(rows), True) for rows in logits]
        with mock.patch('os.fsync'):
            self.store: ScoreStore = make_store(folder, logits, self.labels, macs=COSTS[:stages])
        self.costs = np.repeat(np.array(COSTS[:stages])[:, None], units, 1)
        self.group = np.arange(units)

    def route(self, chain, policy: ExitPolicy) -> Routed:
        router = CascadeRouter([self.stages[k] for k in chain], policy, 'max_prob', self.fusion)
        outcome = router.route([], self.group)
        wrong = outcome.probs.argmax(1).numpy() != self.labels
        cost = slow_costs(outcome.exit_stage, chain, self.costs, self.group, (), len(self.group))
        return Routed(outcome.exit_stage, outcome.confidence.numpy(), wrong, cost, np.array([wrong.sum()]))


class CellCase:
    """Cells of segmented images; in a share of them no pixel counts, or a stage gave nothing finite.

    Probabilities are multiples of 1/64, so that their means do not depend on the order of the stages.
    """

    confidence_options = dict(pixel='max_prob', reduce='mean', t_unk=0.5)

    def __init__(
        self,
        folder: Path,
        images=5,
        cells=4,
        classes=3,
        on=('image', 'cell', 'cell', 'cell'),
        seed=0,
        broken=0.0,
        fusion='prob',
        empty='go_on',
        coarse=False,
        fallbacks=(),
    ):
        rng = np.random.default_rng(seed)
        counts = [cells - image % 2 for image in range(images)]
        self.group = np.repeat(np.arange(images), counts)
        self.cell = np.concatenate([np.arange(count) for count in counts])
        n, self.classes, self.fusion, self.on = len(self.group), classes, fusion, list(on)
        self.truth = rng.integers(classes + 1, size=(n, 2, 3))  # the last is no class
        self.confidence = CellConfidence(empty=empty, **self.confidence_options)
        ease = rng.uniform(size=n)
        number = self.group * CELLS_PER_IMAGE + self.cell
        #: Prices of stages on the whole image: that of two or three crops.
        self.whole = {stage: COSTS[stage] * 2.5 for stage in fallbacks}
        given = []
        for k in [*range(len(on)), *fallbacks]:
            right = rng.random((n, 2, 3)) < 0.4 + 0.4 * ease[:, None, None] + 0.05 * k
            best = np.where(right, self.truth % classes, rng.integers(classes, size=(n, 2, 3)))
            level = rng.integers(4, 6 if coarse else 20, size=(n, 1, 1) if coarse else (n, 2, 3))
            level = level * 3  # of 64; at most 32 does not count
            rest = (64 - level) // (classes - 1)
            values = np.repeat(rest[:, None], classes, 1) / 64.0 * np.ones((n, classes, 2, 3))
            np.put_along_axis(
                values, best[:, None], ((64 - rest * (classes - 1)) / 64.0 * np.ones((n, 2, 3)))[:, None], 1
            )
            values[rng.random(n) < broken] = np.nan
            given.append(torch.from_numpy(values.astype(np.float32)))
        self.outputs, self.fallbacks = given, list(fallbacks)
        self.stages = [GivenCells(values, False, number=number) for values in given[: len(on)]]
        for stage, values in zip(fallbacks, given[len(on) :], strict=True):
            prices = COSTS[stage], self.whole[stage]
            self.stages[stage] = GivenFallback(given[stage], False, number=number, whole=values, prices=prices)
        self.area = rng.integers(6, 9, n)
        self.costs = np.array([COSTS[k] * (self.area / 10 if k == 0 else np.ones(n)) for k in range(len(on))])
        self.once = [k for k, kind in enumerate(on) if k and kind == 'image']
        self.store = self._stored(folder, images, empty)

    def _stored(self, folder, images, empty) -> CellStore:
        subsets = stored_subsets(len(self.on), self.fusion, self.fallbacks)
        names = [f's{k}' for k in range(len(self.on))]
        identity = with_fallbacks(
            stored_identity(names, images, confidence=self.confidence.name, fusion=self.fusion), self.fallbacks
        )
        header = CellHeader(
            identity=identity,
            images=images,
            classes=self.classes,
            stages=names,
            on=self.on,
            fusion=self.fusion,
            confidence=self.confidence.name,
            empty=empty,
        )
        store = CellStore.create(folder, header)
        counted = self.truth < self.classes
        for image in range(images):
            rows = np.flatnonzero(self.group == image)
            found = [self._of_subset(subset, rows, counted) for subset in subsets]
            confidence, intersect, predicted = (np.stack(column, 1) for column in zip(*found, strict=True))
            label = self._histogram(self.truth[rows], counted[rows])
            records = CellRecords(
                self.cell[rows],
                self.area[rows],
                label.astype(np.int32),
                confidence.astype(np.float32),
                intersect.astype(np.int32),
                predicted.astype(np.int32),
                np.stack([*self.costs[:, rows], *(np.full(len(rows), x) for x in self.whole.values())], 1),
            )
            with mock.patch('os.fsync'):
                store.append(image, records)
        return store

    def _of_subset(self, subset, rows, counted):
        state = None
        for k in subset:
            values = self.outputs[k][torch.as_tensor(rows)]
            output = StageOutput(probabilities=values)
            state = CascadeState.start(output, self.fusion) if state is None else state.add(output)
        labels = labels_of(state, output).long().numpy()
        right = counted[rows] & (labels == self.truth[rows])
        return (
            self.confidence(state).numpy(),
            self._histogram(labels, right),
            self._histogram(labels, counted[rows]),
        )

    def _histogram(self, values, counts):
        return np.stack([((values == c) & counts).sum((1, 2)) for c in range(self.classes)], 1)

    @property
    def label(self) -> np.ndarray:
        return self._histogram(self.truth, self.truth < self.classes).sum(0)

    def route(self, chain, policy: ExitPolicy) -> Routed:
        stages = [self.stages[k] for k in chain]
        router = CascadeRouter(stages, policy, self.confidence, self.fusion, results=PixelResults())
        images = [np.flatnonzero(self.group == image) for image in range(self.group.max() + 1)]
        outcome = router.route_all(
            [
                (ViewRows([torch.zeros(len(rows))], 'cells'), CELLS_PER_IMAGE * k + self.cell[rows])
                for k, rows in enumerate(images)
            ]
        )
        labels, counted = outcome.results['labels'].long().numpy(), self.truth < self.classes
        sums = np.concatenate(
            [self._histogram(labels, counted & (labels == self.truth)).sum(0), self._histogram(labels, counted).sum(0)]
        )
        cost = slow_costs(
            outcome.exit_stage, chain, self.costs, self.group, self.once, self.group.max() + 1, self.whole
        )
        return Routed(outcome.exit_stage, outcome.confidence.numpy(), None, cost, sums)

    def miou(self, sums) -> float:
        intersect, predicted = np.split(sums, 2)
        union = predicted + self.label - intersect
        return float((intersect[union > 0] / union[union > 0]).mean())
