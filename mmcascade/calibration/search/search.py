# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Search chains of stages and their windows for the best quality at every cost.

Wang et al. 2022 (section 5) enumerate members and thresholds on stored logits; windows (Xia & Bouganis 2023) square the
number of settings per gap. The method here:

1. Chains grow stage by stage. If a length has more than ``MAX_CHAINS`` chains, those that begin with a chain of the
   front come first, and the rest is left out. Chains of segmentors begin with stage 0, whose output on the whole image
   is all that tells of every cell.
2. A fine grid of cuts divides the units into parts of equal size after every stage: :data:`PARTS`, or fewer where a
   part would hold less than ``MIN_UNITS_PER_PART`` units. Every window between every n-th cut is evaluated, with n as
   small as the length's share of ``max_settings`` allows. If even windows between three cuts are too many, chains are
   left out.
3. The settings on the front, and on the next one behind it, are refined: each bound moves by n / 2, n / 4, ..., 1 cuts.
4. What is on the two fronts then is evaluated exactly, and the front of that is the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mmcascade._system.progress import Progress, no_progress
from mmcascade.calibration.grid.chain_search import ChainSearch, Setting, front, some_of, two_fronts
from mmcascade.calibration.grid.plan import TOLERANCE, InfeasibleError, Plan
from mmcascade.calibration.replay.costs import Chain
from mmcascade.calibration.replay.units import Exit, Units
from mmcascade.calibration.search.candidates import Candidates
from mmcascade.calibration.search.chains import count_chains, extended
from mmcascade.calibration.search.found import Covered, Found

MAX_CHAINS = 1000
MIN_UNITS_PER_PART = 10
#: Parts of the finest cuts, by number of gaps: where units carry one number; many numbers that a search screens, which
#: take more memory per setting; pixels of classes; and where windows are listed one by one.
PARTS = {
    'one': (1, 1024, 256, 64),
    'curves': (1, 1024, 64, 16),
    'many': (1, 256, 64, 32),
    'budget': (1, 64, 64, 32),
}
_REFINED = 64  # settings per round


def search(candidates: Candidates, groups: NDArray[np.int64], plan: Plan, progress: Progress = no_progress) -> Found:
    """The Pareto front over mean cost and quality on some of the images.

    Single stages and ensembles are among the candidates.

    Args:
        candidates: the stages.
        groups: int64 ``(n)``, rising, which images count.
        plan: what is searched.
        progress: called with the number of finished chains, and of all that are known so far.

    Raises:
        InfeasibleError: if nothing keeps the limits.
        ValueError: if a stage gives all units the same score, or the stores cannot be judged by the quality.

    Example:
        >>> import numpy as np, tempfile, torch
        >>> from mmcascade.calibration.stores.identity import StageIdentity
        >>> from mmcascade.calibration.stores.score_store import ScoreStore
        >>> from mmcascade.routing import StageOutput
        >>> generator = torch.Generator().manual_seed(0)
        >>> labels = torch.randint(4, (400,), generator=generator)
        >>> right = torch.nn.functional.one_hot(labels, 4)
        >>> def stage(skill, macs):
        ...     return StageOutput(logits=skill * right + torch.randn(400, 4, generator=generator), macs=macs)
        >>> members = [StageIdentity(name, view=0, weights=name) for name in ('small', 'large')]
        >>> outputs = [stage(1.5, 1.0), stage(4.0, 10.0)]
        >>> store = ScoreStore.of_outputs(tempfile.mkdtemp(), members, outputs, labels)
        >>> found = search(Candidates.from_stores([store]), np.arange(400), Plan())
        >>> cheapest, best = found.front[0], found.front[-1]
        >>> cheapest.chain, cheapest.cost, bool(best.gain > cheapest.gain)
        ((0,), 1.0, True)
    """
    return _Search(candidates, np.asarray(groups), plan, progress).run()


class _Search:
    def __init__(self, candidates: Candidates, groups: NDArray[np.int64], plan: Plan, progress: Progress) -> None:
        candidates.check(plan)
        self.candidates, self.plan, self.progress = candidates, plan, progress
        self.rows: NDArray[np.int64] = candidates.units.rows(groups)
        self.units: Units = candidates.units.of_groups(groups)
        self.order_costs = candidates.mean_costs()
        if candidates.first is not None:  # it stands first whatever it costs
            self.order_costs[candidates.first] = -np.inf
        self.searches: dict[Chain, ChainSearch] = {}
        self.steps: dict[Chain, int] = {}
        self.found: list[Setting] = []
        self.covered: list[Covered] = []
        self.previous: list[Chain] = [()]
        self.left_by_worst_case: list[Chain] = []

    def run(self) -> Found:
        chains = self.plan.chains
        lengths = range(1, self.plan.max_stages + 1) if chains is None else sorted({len(chain) for chain in chains})
        for length in lengths:
            self.coarse(length, self.plan.max_settings / len(lengths))
        self.refine()
        ensembles = [search_.all_open() for search_ in self.searches.values()]
        return Found(self.finish(), ensembles, self.covered, self.by_chain())

    def parts(self, gaps: int) -> int:
        """Into how many parts the finest cuts divide the units."""
        kind = 'curves' if self.plan.quality.needs_scores else 'one' if self.units.label is None else 'many'
        listed = self.plan.max_cells is not None or bool(self.units.costs.whole)
        parts = PARTS['budget' if listed else kind][gaps]
        while parts > 2 and len(self.units) < parts * MIN_UNITS_PER_PART:
            parts //= 2
        return parts

    def coarse(self, length: int, budget: float) -> None:
        """Evaluate windows between every so many-th cut of all chains of a length."""
        chains, total = self._chains(length)
        parts = self.parts(length - 1)
        step = 1
        while step < parts // 2 and len(chains) * self._settings(parts // step, length - 1) > budget:
            step *= 2
        chains = chains[: max(1, int(budget // self._settings(parts // step, length - 1)))]
        covered = Covered(length, len(chains), total)
        self.covered.append(covered)
        for number, search_ in enumerate(self._chain_searches(chains, parts)):
            self.progress(len(self.searches), len(self.searches) + len(chains) - number)
            self.searches[search_.chain], self.steps[search_.chain] = search_, step
            self.found += search_.coarse(step)
            covered.of_settings += search_.space
        covered.of_settings *= total / max(len(chains), 1)
        self.progress(len(self.searches), len(self.searches))

    def refine(self) -> None:
        """Move the bounds of what is on the two fronts, by ever smaller steps."""
        step = max(self.steps.values(), default=1) // 2
        while step:
            for setting in some_of(two_fronts(self.found), _REFINED):
                if self.steps[setting.chain] > step:
                    self.found += self.searches[setting.chain].refine(setting, step)
            step //= 2

    def finish(self) -> list[Setting]:
        """The front of the exact figures."""
        for covered in self.covered:
            covered.settings = sum(s.evaluated for chain, s in self.searches.items() if len(chain) == covered.stages)
        if not self.found:
            raise InfeasibleError(self._what_is_feasible())
        exact = [self.searches[setting.chain].exact(setting) for setting in two_fronts(self.found)]
        quality, reach = self.plan.quality, self.plan.limits.reach
        reasons = [quality.empty_handed(setting.gain) for setting in exact]
        exact = [setting for setting, reason in zip(exact, reasons, strict=True) if reason is None]
        if not exact:
            raise InfeasibleError(reasons[0])
        if reach is None:
            return front(exact)
        best = max(setting.gain for setting in exact)
        least = quality.gain(reach) - TOLERANCE
        if best < least:
            raise InfeasibleError(
                f'no cascade within the limits reaches {quality} {reach:g}; the best is {float(quality.gain(best)):.4g}'
            )
        return front([setting for setting in exact if setting.gain >= least])

    def by_chain(self) -> dict[Chain, list[Setting]]:
        """The front of each chain."""
        several: dict[Chain, list[Setting]] = {}
        for setting in self.found:
            several.setdefault(setting.chain, []).append(setting)
        return {chain: front(settings) for chain, settings in several.items()}

    def _chains(self, length: int) -> tuple[list[Chain], int]:
        first = self.candidates.first
        if self.plan.chains is not None:
            chains = [chain for chain in self.plan.chains if len(chain) == length]
            total = len(chains)
        else:
            on_front = {setting.chain for setting in front(self.found)}
            before = sorted(self.previous, key=lambda chain: chain not in on_front)
            chains = [c for c in extended(before, self.order_costs, self.plan.order) if first in (None, c[0])]
            others, longer = self.order_costs, length
            if first is not None:
                others, longer = np.delete(self.order_costs, first), length - 1
            total = count_chains(longer, others, self.plan.order)
        limit = self.plan.limits.max_worst_case
        if limit is not None:
            limit *= 1 + TOLERANCE
            self.left_by_worst_case += [chain for chain in chains if self._worst_case(chain) > limit]
            chains = [chain for chain in chains if self._worst_case(chain) <= limit]
        self.previous = chains = chains[:MAX_CHAINS]
        return chains, total

    def _worst_case(self, chain: Chain) -> float:
        return self.candidates.worst_case(chain, self.plan)

    def _chain_searches(self, chains: Sequence[Chain], parts: int) -> Iterator[ChainSearch]:
        """One search for each of the chains, which have the same length."""
        exits = self.candidates.source.exits(chains)
        # One member cannot disagree with itself: everybody passes the first gap, and equal scores are no fault.
        for stage in sorted({chain[0] for chain in chains}) if self.candidates.cascade.least_members == 1 else ():
            self._check_spread(stage, exits[(stage,)].confidence[self.rows])
        selected: dict[Chain, Exit] = {}
        for chain in chains:
            for length in range(1, len(chain) + 1):
                prefix = chain[:length]
                if prefix not in selected:
                    selected[prefix] = exits[prefix].select(self.rows)
            along = [selected[chain[: k + 1]] for k in range(len(chain))]
            yield ChainSearch(chain, along, self.units, self.plan, parts)

    def _check_spread(self, stage: int, scores: NDArray[np.floating]) -> None:
        if scores.min() == scores.max():
            raise ValueError(
                f'stage {self.candidates.names[stage]} gives every unit the same '
                f'{self.candidates.cascade.confidence}, {scores[0]:g}: nothing can be decided on it. Check its weights '
                'and preprocessing'
            )

    def _settings(self, parts: int, gaps: int) -> int:
        each = parts if self.plan.one_sided else parts * (parts + 1) // 2
        return each**gaps

    def _what_is_feasible(self) -> str:
        limits = self.plan.limits
        if not self.searches:
            cheapest = min(self._worst_case(chain) for chain in self.left_by_worst_case)
            return f'no chain has a worst case of at most {limits.max_worst_case:g}; the lowest is {cheapest:g}'
        cost = min(s.lowest_cost for s in self.searches.values())
        accuracy = max(s.best_accuracy for s in self.searches.values())
        kind = self.plan.quality.kind
        asked = [
            f'{name} {value:g}'
            for name, value in (
                ('a mean cost of at most', limits.max_cost),
                (f'an {kind} of at least', limits.min_accuracy),
                ('a worst case of at most', limits.max_worst_case),
            )
            if value is not None
        ]
        return (
            f'no cascade has {" and ".join(asked)}; the lowest mean cost is {cost:g}, and the best {kind} at '
            f'any cost is {accuracy:.4f}'
        )
