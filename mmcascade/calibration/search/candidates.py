# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The stages that a search makes chains of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.grid.plan import Plan
from mmcascade.calibration.replay.costs import Chain, Costs
from mmcascade.calibration.replay.quality import NAMES
from mmcascade.calibration.replay.stored_stages import StoredCells, StoredScores, StoredStages
from mmcascade.calibration.replay.units import Units
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.calibration.stores.identity import CascadeIdentity, StageIdentity, chain_precision
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.calibration.stores.store import StoreError
from mmcascade.routing.checks import is_number


@dataclass(frozen=True)
class Candidates:
    """Stored stages with names and costs.

    Attributes:
        source: their outputs, with what they count in multiply-adds.
        cascade: all of them as one cascade.
        names: of each stage.
        costs: what each stage costs for each unit: multiply-adds or milliseconds.
        temperatures: of each stage.
        data: number and fingerprint of the units.
        first: the stage that chains begin with; None = any.
    """

    source: StoredStages
    cascade: CascadeIdentity
    names: list[str]
    costs: Costs
    temperatures: list[float]
    data: Mapping[str, Any]
    first: int | None = None

    def __post_init__(self) -> None:
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice:
            raise StoreError(f'stage {twice[0]} is there more than once; name each store and each stage once')
        for name, cost in zip(self.names, self.costs.per_unit, strict=True):
            if not (np.isfinite(cost).all() and cost.mean() > 0):
                raise ValueError(
                    f'stage {name} has no cost: its mean is {cost.mean():g}. Give the stage macs= in '
                    'the config and fill the store again, or give milliseconds with --costs'
                )

    @classmethod
    def from_stores(
        cls,
        stores: Sequence[ScoreStore] | Sequence[CellStore],
        costs: Mapping[str, float] | None = None,
        confidence: str = 'max_prob',
        fusion: str = 'prob',
    ) -> Candidates:
        """The stages of one or more stores of the same units.

        Args:
            stores: complete stores of scores, or one of cells.
            costs: per stage milliseconds, in place of the stored multiply-adds: for an image, or for a cell where the
                stage runs on cells.
            confidence, fusion: of cascades of scores; a store of cells was filled with its own.

        Raises:
            StoreError: if the stores do not fit together.
            ValueError: if a stage has no cost, or the given one is no number.
        """
        scores = [store for store in stores if isinstance(store, ScoreStore)]
        if len(scores) == len(stores):
            return _of_scores(scores, costs, confidence, fusion)
        (store,) = stores
        assert isinstance(store, CellStore)
        return _of_cells(store, costs)

    def heated(self, temperatures: Sequence[float]) -> Candidates:
        """The same stages of scores at other temperatures, one for each."""
        assert isinstance(self.source, StoredScores)
        stages = [replace(stage, temperature=t) for stage, t in zip(self.source.stages, temperatures, strict=True)]
        return replace(self, source=replace(self.source, stages=stages), temperatures=list(temperatures))

    @cached_property
    def units(self) -> Units:
        """The units, with these costs."""
        return replace(self.source.units, costs=self.costs)

    def check(self, plan: Plan) -> None:
        """Raise ValueError if these units cannot be judged by the quality of a plan, or have no cells to limit."""
        kind = self.source.quality.kind
        if plan.quality.kind != kind:
            wanted = 'miou' if kind == 'mIoU' else NAMES
            raise ValueError(f'these stores are searched for {wanted}, got {str(plan.quality)!r}')
        if plan.max_cells is not None and self.units.label is None:
            raise ValueError('max_cells is for stores of cells, and these hold scores of whole images')

    @property
    def identities(self) -> list[StageIdentity]:
        """What each stage is."""
        return list(self.cascade.stages)

    def identity(self, chain: Chain) -> CascadeIdentity:
        """The identity of a chain of the stages."""
        return replace(
            self.cascade,
            stages=tuple(self.cascade.stages[stage] for stage in chain),
            precision=chain_precision(self.cascade.precision, chain),
        )

    def configured(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A config of all stages, with the confidence function and fusion that they are searched with."""
        if not isinstance(self.source, StoredScores):  # a store of cells was filled with those of its config
            return dict(config)
        model = {**config['model'], 'confidence': self.cascade.confidence, 'fusion': self.cascade.fusion}
        return {**config, 'model': model}

    def mean_costs(self) -> NDArray[np.float64]:
        """Of each stage on all units, ``(stages)``, per image."""
        return self.costs.means()

    def worst_case(self, chain: Chain, plan: Plan = Plan()) -> float:  # noqa: B008  # frozen
        """The most that an image can cost."""
        return self.costs.worst_case(chain, plan.max_cells)

    def named(self, chain: Chain) -> list[str]:
        """The names of the stages of a chain."""
        return [self.names[stage] for stage in chain]

    def describe(self, chain: Chain) -> str:
        """A chain in words, first stage to last."""
        return ' > '.join(self.named(chain))

    def find(self, text: str) -> Chain:
        """The chain written as ``'small,large@1'``; a member with one view needs no view.

        Raises:
            ValueError: if a name is unknown, ambiguous or there twice.
        """
        chain = tuple(self._find_one(name.strip()) for name in text.split(','))
        if len(set(chain)) < len(chain):
            raise ValueError(f'a chain runs a stage once, got {text!r}')
        return chain

    def _find_one(self, name: str) -> int:
        found = [k for k, identity in enumerate(self.identities) if name in (self.names[k], identity.member)]
        if len(found) != 1:
            raise ValueError(
                f'{"no" if not found else "more than one"} stage is named {name!r}; expected one of '
                f'{", ".join(self.names)}'
            )
        return found[0]


def stage_name(stage: StageIdentity) -> str:
    """Such as 'small@0'; what the stage does to its view follows, as in 'small@0@160x160-bicubic@flip'.

    Stages of segmentors are called as in stores of cells, such as 'small on images'.
    """
    if stage.on is not None:
        return stage.source
    at = None if stage.exit is None else f'exit{stage.exit}'
    changes = [stage.frames, stage.resize, 'flip' if stage.flip else None, at, stage.arithmetic]
    return '@'.join([stage.member, str(stage.view), *(change.replace(' ', '-') for change in changes if change)])


def given_costs(costs: Mapping[str, float], names: Sequence[str]) -> list[float]:
    """Milliseconds per stage, in the order of the names.

    Raises:
        ValueError: unless there is one number for each name.
    """
    if not isinstance(costs, Mapping):
        raise ValueError(f'the costs are an object such as {{"{names[0]}": 1.5}}, in milliseconds, got {costs!r}')
    missing, unknown = [n for n in names if n not in costs], sorted(set(costs) - set(names))
    if missing or unknown:
        raise ValueError(
            f'the costs lack {missing} and name {unknown}, which is not in the store; expected one number '
            f'of milliseconds for each of {list(names)}'
        )
    for name in names:
        if not is_number(costs[name]):
            raise ValueError(f'the cost of stage {name} is a number of milliseconds, got {costs[name]!r}')
    return [float(costs[name]) for name in names]


def _of_scores(
    stores: Sequence[ScoreStore], costs: Mapping[str, float] | None, confidence: str, fusion: str
) -> Candidates:
    for store in stores[1:]:
        _check_fit(stores[0], store)
    labels = np.asarray(stores[0].labels)
    if labels.min(initial=0) < 0:
        raise StoreError(
            f'the score store {stores[0].folder} has units without labels, which nothing can be '
            'judged on; fill it from labelled images'
        )
    stages = [stage for store in stores for stage in store.stages()]
    identity = stores[0].header.identity
    identities = [stage for store in stores for stage in store.header.identity.stages]
    names = [stage_name(stage) for stage in identities]
    source = StoredScores(stages, labels, confidence, fusion)
    return Candidates(
        source,
        CascadeIdentity(tuple(identities), confidence, fusion, identity.precision),
        names,
        _costs(source, costs, names),
        [stage.temperature for stage in stages],
        identity.data.summary(),
    )


def _of_cells(store: CellStore, costs: Mapping[str, float] | None) -> Candidates:
    names, source = list(store.header.stages), StoredCells(store)
    return Candidates(
        source,
        store.header.identity.cascade,
        names,
        _costs(source, costs, names),
        list(store.header.temperatures),
        store.header.identity.data.summary(),
        first=0,
    )


def _costs(source: StoredStages, costs: Mapping[str, float] | None, names: Sequence[str]) -> Costs:
    return source.units.costs if costs is None else source.timed(given_costs(costs, names))


def _check_fit(first: ScoreStore, other: ScoreStore) -> None:
    a, b = first.header, other.header
    sizes = {'units': (a.units, b.units), 'classes': (a.classes, b.classes)}
    problems = [f'{name} ({here} and {there})' for name, (here, there) in sizes.items() if here != there]
    changed = a.identity.differences(replace(b.identity, stages=a.identity.stages))
    problems += [what for what in changed if what in ('data', 'preprocessing')]
    if a.identity.precision != b.identity.precision:
        problems.append('precision')
    if not problems and not np.array_equal(first.labels, other.labels):
        problems.append('labels')
    if problems:
        raise StoreError(
            f'the stores {first.folder} and {other.folder} differ in {", ".join(problems)}; stages can be '
            'combined only where they saw the same images in the same views and precision'
        )
