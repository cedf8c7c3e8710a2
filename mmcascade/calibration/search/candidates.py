# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The stages that a search makes chains of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.replay.exits import Chain
from mmcascade.calibration.stores.identity import StageIdentity
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.calibration.stores.store import StoreError
from mmcascade.routing import CachedStage
from mmcascade.routing.checks import is_number


class NamedStages:
    """Stages of which chains are made, by name and cost.

    Attributes:
        identities: what each stage is.
    """

    identities: list[StageIdentity]

    @property
    def names(self) -> list[str]:
        """What the stages are called."""
        return [stage_name(identity) for identity in self.identities]

    def mean_costs(self) -> NDArray[np.float64]:
        """Of each stage, ``(stages)``."""
        raise NotImplementedError

    def named(self, chain: Chain) -> list[str]:
        """The names of the stages of a chain."""
        return [self.names[stage] for stage in chain]

    def describe(self, chain: Chain) -> str:
        """A chain in words, first stage to last."""
        return ' > '.join(self.named(chain))


@dataclass(frozen=True)
class Candidates(NamedStages):
    """Stored stages with names and costs.

    Attributes:
        stages: the stored stages.
        identities: what each of them is.
        labels: int64 ``(N)``.
        costs: ``(stages, N)`` float64, what each stage costs for each unit: multiply-adds or milliseconds.
    """

    stages: list[CachedStage]
    identities: list[StageIdentity]
    labels: NDArray[np.int64]
    costs: NDArray[np.float64]

    @classmethod
    def from_stores(cls, stores: Sequence[ScoreStore], costs: Mapping[str, float] | None = None) -> Candidates:
        """The stages of one or more stores of the same units.

        Args:
            stores: complete stores.
            costs: per 'member@view' milliseconds per unit, in place of the stored multiply-adds.

        Raises:
            StoreError: if the stores do not fit together.
            ValueError: if a stage has no cost, or the given one is no number.
        """
        for store in stores[1:]:
            _check_fit(stores[0], store)
        stages = [stage for store in stores for stage in store.stages()]
        identities = [stage for store in stores for stage in store.header.identity.stages]
        labels = np.asarray(stores[0].labels)
        if labels.min(initial=0) < 0:
            raise StoreError(
                f'the score store {stores[0].folder} has units without labels, which nothing can be '
                'judged on; fill it from labelled images'
            )
        names = [stage_name(identity) for identity in identities]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise StoreError(f'stage {twice[0]} is there more than once; name each store and each stage once')
        if costs is None:
            columns = np.concatenate([np.asarray(store.macs).T for store in stores])
        else:
            columns = np.repeat(given_costs(costs, names)[:, None], len(labels), 1)
        for name, column in zip(names, columns, strict=True):
            if not (np.isfinite(column).all() and column.mean() > 0):
                raise ValueError(
                    f'stage {name} has no cost: its mean is {column.mean():g}. Give the stage macs= in '
                    'the config and fill the store again, or give milliseconds with --costs'
                )
        return cls(stages, identities, labels, columns)

    def mean_costs(self) -> NDArray[np.float64]:
        """Multiply-adds per unit of each stage, ``(K)``."""
        return self.costs.mean(1)

    def worst_case(self, chain: Chain) -> float:
        """The most that a unit can cost: the sum over the chain of each stage's highest cost."""
        return float(sum(self.costs[stage].max() for stage in chain))

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
        found = [k for k, identity in enumerate(self.identities) if name in (stage_name(identity), identity.member)]
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
    changes = [stage.resize, 'flip' if stage.flip else None, stage.arithmetic]
    return '@'.join([stage.member, str(stage.view), *(change.replace(' ', '-') for change in changes if change)])


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


def given_costs(costs: Mapping[str, float], names: Sequence[str]) -> NDArray[np.float64]:
    """The costs that a user names, in the order of the stages."""
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
    return np.array([float(costs[name]) for name in names])
