# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Search chains of stages and their windows for the best quality at every cost.

Wang et al. 2022 (section 5) enumerate members and thresholds on stored logits; windows (Xia & Bouganis 2023) square the
number of settings per gap. The method here:

1. Chains grow stage by stage. If a length has more than ``MAX_CHAINS`` chains, those that begin with a chain of the
   front come first, and the rest is left out.
2. A fine grid of cuts divides the units into parts of equal size after every stage: ``PARTS``, or fewer where a part
   would hold less than ``MIN_UNITS_PER_PART`` units. Every window between every n-th cut is evaluated, with n as small
   as the length's share of ``max_settings`` allows. If even windows between three cuts are too many, chains are left
   out.
3. The settings on the front, and on the next one behind it, are refined: each bound moves by n / 2, n / 4, ..., 1 cuts.
4. What is on the two fronts then is evaluated exactly, and the front of that is the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.replay.exits import Chain, Exit, chain_exits
from mmcascade.calibration.search.candidates import Candidates
from mmcascade.calibration.search.chain_search import ChainSearch, WindowSearch
from mmcascade.calibration.search.searcher import Found, Plan, Progress, Searcher, fitting

#: Parts of the finest cuts, by number of gaps. Qualities that need whole curves take more memory per setting.
PARTS = {'accuracy': (1, 1024, 256, 64), 'curves': (1, 1024, 64, 16)}


def search(
    candidates: Candidates, units: NDArray[np.int64], plan: Plan, progress: Progress = lambda done, total: None
) -> Found:
    """The Pareto front over mean cost and quality on some of the units.

    Single stages and ensembles are among the candidates.

    Args:
        candidates: the stages.
        units: int64 ``(n)``, which units count.
        plan: what is searched.
        progress: called with the number of finished chains, and of all that are known so far.

    Raises:
        InfeasibleError: if nothing keeps the limits.
        ValueError: if a stage gives all units the same score.

    Example:
        >>> import numpy as np, tempfile, torch
        >>> from mmcascade.calibration.search.quality import Quality
        >>> from mmcascade.calibration.stores.score_store import ScoreStore
        >>> from mmcascade.routing import StageOutput
        >>> generator = torch.Generator().manual_seed(0)
        >>> labels = torch.randint(4, (400,), generator=generator)
        >>> right = torch.nn.functional.one_hot(labels, 4)
        >>> def stage(skill, macs):
        ...     return StageOutput(logits=skill * right + torch.randn(400, 4, generator=generator), macs=macs)
        >>> stages = [dict(member=name, view=0, weights=name) for name in ('small', 'large')]
        >>> identity = dict(members=dict(stages=stages), data=dict(units=400, fingerprint='f'), preprocessing='p')
        >>> store = ScoreStore.create(tempfile.mkdtemp(), identity, 400, 4, ['logits', 'logits'])
        >>> store.write([stage(1.5, 1.0), stage(4.0, 10.0)], labels)
        >>> found = search(Candidates.from_stores([store]), np.arange(400), Plan(Quality('accuracy')))
        >>> cheapest, best = found.front[0], found.front[-1]
        >>> cheapest.chain, cheapest.cost, bool(best.gain > cheapest.gain)
        ((0,), 1.0, True)
    """
    return _ScoreSearch(candidates, np.asarray(units), plan, progress).run()


class _ScoreSearch(Searcher):
    def __init__(self, candidates: Candidates, units: NDArray[np.int64], plan: Plan, progress: Progress) -> None:
        super().__init__(candidates, plan, progress)
        self.candidates = candidates
        self.units = units

    def worst_case(self, chain: Chain) -> float:
        return self.candidates.worst_case(chain)

    def parts(self, gaps: int) -> int:
        parts = PARTS['accuracy' if self.plan.quality.name == 'accuracy' else 'curves'][gaps]
        return fitting(parts, len(self.units))

    def chain_searches(self, chains: Sequence[Chain], parts: int) -> Iterator[WindowSearch]:
        exits, costs = self._exits(chains), self.candidates.costs[:, self.units]
        for chain in chains:
            yield ChainSearch(
                chain,
                [exits[chain[: k + 1]] for k in range(len(chain))],
                costs[list(chain)],
                self.plan.quality,
                self.plan.limits,
                parts,
                self.plan.policy == 'threshold',
            )

    def _exits(self, chains: Sequence[Chain]) -> dict[Chain, Exit]:
        if not chains:
            return {}
        labels = np.asarray(self.candidates.labels)
        everybody = chain_exits(self.candidates.stages, labels, chains, self.plan.confidence, self.plan.fusion)
        exits = {chain: exit_.select(self.units) for chain, exit_ in everybody.items()}
        for chain, exit_ in exits.items():
            if len(chain) == 1 and exit_.confidence.min() == exit_.confidence.max():
                raise ValueError(
                    f'stage {self.candidates.names[chain[0]]} gives every unit the same {self.plan.confidence}, '
                    f'{exit_.confidence[0]:g}: nothing can be decided on it. Check its weights and preprocessing'
                )
        return exits
