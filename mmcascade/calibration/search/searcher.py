# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How chains and windows are searched, whatever the stores hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mmcascade.calibration.replay.chains import count_chains, extended
from mmcascade.calibration.replay.exits import Chain
from mmcascade.calibration.search.candidates import NamedStages
from mmcascade.calibration.search.chain_search import Setting, WindowSearch, front
from mmcascade.calibration.search.pareto import spread_out
from mmcascade.calibration.search.quality import Quality
from mmcascade.calibration.search.search_limits import TOLERANCE, InfeasibleError, Limits

MAX_STAGES = 4
MAX_CHAINS = 1000
MIN_UNITS_PER_PART = 10
_REFINED = 64  # settings per round

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Plan:
    """What is searched.

    Attributes:
        quality: what should be good.
        limits: what must be kept.
        chains: exactly these chains; None = all.
        max_stages: longest chain, 1 to 4.
        order: 'cost' or 'any', see :func:`~mmcascade.calibration.replay.chains.extended`.
        policy: 'window', or 'threshold' for windows with an open lower end.
        max_settings: evaluate about so many settings at most.
        confidence, fusion: as in the cascade's config.

    Example:
        >>> from mmcascade.calibration.search.quality import Quality
        >>> from mmcascade.calibration.search.search_limits import Limits
        >>> plan = Plan(Quality.parse('coverage@risk=0.05'), Limits(max_cost=1e9), max_stages=2)
        >>> plan.policy, plan.confidence, plan.fusion
        ('window', 'max_prob', 'prob')
    """

    quality: Quality
    limits: Limits = Limits()
    chains: tuple[Chain, ...] | None = None
    max_stages: int = MAX_STAGES
    order: str = 'cost'
    policy: str = 'window'
    max_settings: float = 1e7
    confidence: str = 'max_prob'
    fusion: str = 'prob'

    def __post_init__(self) -> None:
        if not 1 <= self.max_stages <= MAX_STAGES:
            raise ValueError(f'chains have 1 to {MAX_STAGES} stages, got max_stages={self.max_stages!r}')
        if self.policy not in ('window', 'threshold'):
            raise ValueError(f"policy is 'window' or 'threshold', got {self.policy!r}")
        if not 1 <= self.max_settings < math.inf:
            raise ValueError(f'max_settings is a finite number, at least 1, got {self.max_settings!r}')


@dataclass
class Covered:
    """How much of the space was evaluated, for the chains of one length.

    Attributes:
        stages: length of the chains.
        chains, of_chains: searched, and all there are within the worst-case limit and beyond.
        settings, of_settings: evaluated, and all there are on the finest cuts of the searched chains, extrapolated to
            the chains left out.
    """

    stages: int
    chains: int
    of_chains: int
    settings: int = 0
    of_settings: float = 0.0

    @property
    def share(self) -> float:
        """The part of all settings that was looked at, in [0, 1]."""
        return min(1.0, self.settings / self.of_settings) if self.of_settings else 1.0


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        front: by rising cost.
        ensembles: every chain with all windows open, within the limits or not; single stages among them.
        covered: how much of the space was evaluated, per length of chains.
    """

    front: list[Setting]
    ensembles: list[Setting]
    covered: list[Covered]


class Searcher:
    """The method of :mod:`mmcascade.calibration.search.search`; a variant says how one chain is searched."""

    def __init__(self, candidates: NamedStages, plan: Plan, progress: Progress) -> None:
        self.plan = plan
        self.progress = progress
        self.mean_costs = candidates.mean_costs()
        self.searches: dict[Chain, WindowSearch] = {}
        self.steps: dict[Chain, int] = {}
        self.found: list[Setting] = []
        self.covered: list[Covered] = []
        self.previous: list[Chain] = [()]
        self.left_by_worst_case: list[Chain] = []

    def run(self) -> Found:
        """Search every chain the plan allows, coarse to fine."""
        chains = self.plan.chains
        lengths = range(1, self.plan.max_stages + 1) if chains is None else sorted({len(chain) for chain in chains})
        for length in lengths:
            self.coarse(length, self.plan.max_settings / len(lengths))
        self.refine()
        return Found(self.finish(), self.ensembles(), self.covered)

    def parts(self, gaps: int) -> int:
        """Into how many parts the finest cuts divide the units."""
        raise NotImplementedError

    def extended(self, chains: Sequence[Chain]) -> list[Chain]:
        """Every chain that has one stage more."""
        return extended(chains, self.mean_costs, self.plan.order)

    def count_chains(self, length: int) -> int:
        """How many chains of a length there are."""
        return count_chains(length, self.mean_costs, self.plan.order)

    def worst_case(self, chain: Chain) -> float:
        """The most that a chain can cost."""
        raise NotImplementedError

    def chain_searches(self, chains: Sequence[Chain], parts: int) -> Iterator[WindowSearch]:
        """One search for each of the chains, which have the same length."""
        raise NotImplementedError

    def coarse(self, length: int, budget: float) -> None:
        """Look at every chain of a length, on a grid as fine as the budget allows."""
        chains, total = self._chains(length)
        parts = self.parts(length - 1)
        step = 1
        while step < parts // 2 and len(chains) * self._settings(parts // step, length - 1) > budget:
            step *= 2
        chains = chains[: max(1, int(budget // self._settings(parts // step, length - 1)))]
        covered = Covered(length, len(chains), total)
        self.covered.append(covered)
        for number, search_ in enumerate(self.chain_searches(chains, parts)):
            self.progress(len(self.searches), len(self.searches) + len(chains) - number)
            self.searches[search_.chain], self.steps[search_.chain] = search_, step
            self.found += search_.coarse(step)
            covered.of_settings += search_.space
        covered.of_settings *= total / max(len(chains), 1)
        self.progress(len(self.searches), len(self.searches))

    def refine(self) -> None:
        """Halve the steps around what is on the front, until nothing is between."""
        step = max(self.steps.values(), default=1) // 2
        while step:
            for setting in _some(_two_fronts(self.found), _REFINED):
                if self.steps[setting.chain] > step:
                    self.found += self.searches[setting.chain].refine(setting, step)
            step //= 2

    def finish(self) -> list[Setting]:
        """What is on the front in the end."""
        for covered in self.covered:
            covered.settings = sum(s.evaluated for chain, s in self.searches.items() if len(chain) == covered.stages)
        if not self.found:
            raise InfeasibleError(self._what_is_feasible())
        exact = [self.searches[setting.chain].exact(setting) for setting in _two_fronts(self.found)]
        quality, reach = self.plan.quality, self.plan.limits.reach
        if quality.name == 'coverage@risk':
            exact = [setting for setting in exact if setting.gain > 0]
            if not exact:
                raise InfeasibleError(f'no cascade may accept any unit at a risk of {quality.target:g}; allow more')
        if reach is None:
            return front(exact)
        best = max(setting.gain for setting in exact)
        least = quality.gain(reach) - TOLERANCE
        if best < least:
            raise InfeasibleError(
                f'no cascade within the limits reaches {quality} {reach:g}; the best is {float(quality.gain(best)):.4g}'
            )
        return front([setting for setting in exact if setting.gain >= least])

    def ensembles(self) -> list[Setting]:
        """Every searched chain with all windows open."""
        return [search_.all_open() for search_ in self.searches.values()]

    def _chains(self, length: int) -> tuple[list[Chain], int]:
        if self.plan.chains is not None:
            chains = [chain for chain in self.plan.chains if len(chain) == length]
            total = len(chains)
        else:
            on_front = {setting.chain for setting in front(self.found)}
            before = sorted(self.previous, key=lambda chain: chain not in on_front)
            chains, total = self.extended(before), self.count_chains(length)
        limit = self.plan.limits.max_worst_case
        if limit is not None:
            limit *= 1 + TOLERANCE
            self.left_by_worst_case += [chain for chain in chains if self.worst_case(chain) > limit]
            chains = [chain for chain in chains if self.worst_case(chain) <= limit]
        self.previous = chains = chains[:MAX_CHAINS]
        return chains, total

    def _settings(self, parts: int, gaps: int) -> int:
        each = parts if self.plan.policy == 'threshold' else parts * (parts + 1) // 2
        return each**gaps

    def _what_is_feasible(self) -> str:
        limits = self.plan.limits
        if not self.searches:
            cheapest = min(self.worst_case(chain) for chain in self.left_by_worst_case)
            return f'no chain has a worst case of at most {limits.max_worst_case:g}; the lowest is {cheapest:g}'
        cost = min(s.lowest_cost for s in self.searches.values())
        accuracy = max(s.best_accuracy for s in self.searches.values())
        asked = [
            f'{name} {value:g}'
            for name, value in (
                ('a mean cost of at most', limits.max_cost),
                ('an accuracy of at least', limits.min_accuracy),
                ('a worst case of at most', limits.max_worst_case),
            )
            if value is not None
        ]
        measure = 'mIoU' if self.plan.quality.name == 'miou' else 'accuracy'
        return (
            f'no cascade has {" and ".join(asked)}; the lowest mean cost is {cost:g}, and the best {measure} at '
            f'any cost is {accuracy:.4f}'
        )


def fitting(parts: int, units: int) -> int:
    """So many parts, or fewer where a part would hold less than ``MIN_UNITS_PER_PART`` units."""
    while parts > 2 and units < parts * MIN_UNITS_PER_PART:
        parts //= 2
    return parts


def _two_fronts(settings: Sequence[Setting]) -> list[Setting]:
    first = front(settings)
    taken = {id(setting) for setting in first}
    return first + front([setting for setting in settings if id(setting) not in taken])


def _some(settings: list[Setting], count: int) -> list[Setting]:
    settings = sorted(settings, key=lambda setting: setting.cost)
    return [settings[k] for k in spread_out([setting.cost for setting in settings], count)]
