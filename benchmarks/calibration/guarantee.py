# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How often calibrated and certified risks hold where the truth is known, and which rule certifies the most.

    python benchmarks/calibration/guarantee.py work_dirs/quickstart/calibration_scores work_dirs/quickstart/test_scores

The images of both stores are one pool. Calibration sets are drawn from it with replacement, so they are independent
draws from a distribution whose risk is that of the pool, exactly. Each time windows are fitted and a threshold is
placed, and the cascade is judged on the whole pool. The last rows keep the two stores apart as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import bdtr, xlogy

from mmcascade.calibration.fit.calibrate import fit
from mmcascade.calibration.fit.certificates.certificate import Counts, certify
from mmcascade.calibration.fit.certificates.held_out import hold_out_at_random
from mmcascade.calibration.fit.evidence import Evidence
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.thresholds.operating_point import operating_point, place_tau
from mmcascade.calibration.fit.two_sided.windows import fit_windows
from mmcascade.calibration.replay.carried import Dense
from mmcascade.calibration.replay.costs import Costs
from mmcascade.calibration.replay.routes import Routes, route
from mmcascade.calibration.replay.units import Exit, Units
from mmcascade.calibration.stores.identity import CascadeIdentity, StageIdentity
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.routing import CachedStage, ExitPolicy, WindowPolicy

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, report

#: From numbers of errors and of accepted units to the p-value of a risk above the target.
PValue = Callable[[NDArray[np.float64], NDArray[np.float64], float], NDArray[np.float64]]


def betting(errors: NDArray[np.float64], accepted: NDArray[np.float64], risk: float) -> NDArray[np.float64]:
    """One over the wealth of a mixture of constant bets (Waudby-Smith & Ramdas 2023), which Markov bounds."""
    bets = np.linspace(0, 1 / (1 - risk), 42)[1:-1, None]
    wealth = (accepted - errors) * np.log1p(bets * risk) + errors * np.log1p(bets * (risk - 1))
    return np.exp(-np.logaddexp.reduce(wealth, axis=0) + np.log(len(bets)))


def hoeffding_bentkus(errors: NDArray[np.float64], accepted: NDArray[np.float64], risk: float) -> NDArray[np.float64]:
    """The smaller one of Hoeffding's and Bentkus' bounds (Bates et al. 2021, theorem 5), for losses in [0, 1]."""
    rate = np.minimum(errors / accepted, risk)
    divergence = xlogy(rate, rate / risk) + xlogy(1 - rate, (1 - rate) / (1 - risk))
    return np.minimum(np.exp(-accepted * divergence), np.e * bdtr(errors, accepted.astype(np.int64), risk))


class Pool:
    """A two-stage or longer chain on the images of both stores."""

    def __init__(self, stores: Sequence[ScoreStore], chain: Sequence[str]) -> None:
        names = [stage.member for stage in stores[0].header.identity.stages]
        columns = [names.index(member) for member in chain]
        parts = [store.stages() for store in stores]
        stages = [
            CachedStage(torch.cat([part[k].values for part in parts]), is_logits=parts[0][k].is_logits) for k in columns
        ]
        labels = np.concatenate([store.labels for store in stores])
        identity = CascadeIdentity(tuple(StageIdentity(name, 0, '') for name in chain), 'max_prob', 'prob')
        self.evidence = Evidence.of_stages(stages, labels, identity)

    def __len__(self) -> int:
        return len(self.evidence.units)

    def drawn(self, rows: NDArray[np.int64]) -> tuple[list[Exit], Units]:
        """Some of the images, some perhaps more than once."""
        number = np.arange(len(rows))
        exits = [Exit(exit_.confidence[rows], Dense(exit_.wrong[rows][:, None])) for exit_ in self.evidence.exits]
        costs = Costs(np.ones((len(exits), len(rows))), number)
        return exits, Units(number, number, costs, np.ones(len(rows)))

    def judged(self, policy: ExitPolicy, threshold: float | None) -> tuple[float, float]:
        """Coverage and risk on the whole pool; (0, NaN) without a threshold."""
        if threshold is None:
            return 0.0, float('nan')
        routes = route(self.evidence.exits, policy, self.evidence.units)
        point = operating_point(routes.confidence, routes.wrong, threshold)
        return point.coverage, point.risk


@dataclass(frozen=True)
class Rule:
    """A way to an accept threshold.

    Attributes:
        name: in the table.
        share: of the images, to certify on; 0 certifies nothing.
        certified: from counts on the images to fit on and to certify on, the target and delta to a threshold.
    """

    name: str
    share: float
    certified: Callable[[Routes, Routes, float, float], float | None] | None = None

    def threshold(
        self, pool: Pool, draw: NDArray[np.int64], risk: float, delta: float
    ) -> tuple[ExitPolicy, float | None]:
        """The windows and the threshold that these images give."""
        held = round(len(draw) * self.share)
        exits, units = pool.drawn(draw[held:])
        policy = WindowPolicy(fit_windows(exits, units, CalibrationRequest(f'risk={risk}')).windows)
        seen = route(exits, policy, units)
        if self.certified is None:
            return policy, place_tau(seen.confidence, seen.wrong, f'risk={risk}')
        exits, units = pool.drawn(draw[:held])
        return policy, self.certified(seen, route(exits, policy, units), risk, delta)


def from_the_start(seen: Routes, held: Routes, risk: float, delta: float) -> float | None:
    """What the package does."""
    start = counted(seen).safest(risk)
    return None if start is None else certify(held.confidence, held.wrong, risk, delta, start)


def shared(seen: Routes, held: Routes, risk: float, delta: float) -> float | None:
    """Starts by coverage on the held-out images, which share delta."""
    return certify(held.confidence, held.wrong, risk, delta)


def by(p_value: PValue) -> Callable[[Routes, Routes, float, float], float | None]:
    """As the package, with another p-value than that of the binomial distribution."""

    def certified(seen: Routes, held: Routes, risk: float, delta: float) -> float | None:
        start, counts = counted(seen).safest(risk), counted(held)
        if start is None:
            return None
        first = int(np.searchsorted(-counts.threshold, -start, side='right')) - 1
        passes = p_value(counts.errors[max(first, 0) :], counts.accepted[max(first, 0) :], risk) <= delta
        if first < 0 or not passes[0]:
            return None
        end = len(passes) if passes.all() else int(np.argmin(passes))
        return start if end == 1 else float(counts.threshold[first + end - 1])

    return certified


def counted(routes: Routes) -> Counts:
    """What each threshold accepts."""
    return Counts.of(np.asarray(routes.confidence, np.float64), routes.wrong)


RULES = (
    Rule('calibrated', 0),
    Rule('certified', 0.7, from_the_start),
    Rule('certified on 50 %', 0.5, from_the_start),
    Rule('certified on 80 %', 0.8, from_the_start),
    Rule('starts share delta, 50 %', 0.5, shared),
    Rule('Hoeffding-Bentkus, 70 %', 0.7, by(hoeffding_bentkus)),
    Rule('betting, 70 %', 0.7, by(betting)),
)


def crossed(pool: Pool, draw: NDArray[np.int64], risk: float, delta: float) -> tuple[ExitPolicy, float | None]:
    """Two cascades, each fitted on one half and certified on the other at half of delta; that which accepts more."""
    half = Rule('', 0.5, from_the_start)
    found = []
    for order in (draw, draw[::-1]):
        policy, threshold = half.threshold(pool, order, risk, delta / 2)
        exits, units = pool.drawn(order[: len(order) // 2])
        accepted = route(exits, policy, units).confidence >= (np.inf if threshold is None else threshold)
        found.append((accepted.mean(), policy, threshold))
    return max(found, key=lambda each: each[0])[1:]


def measure(pool: Pool, units: int, risk: float, delta: float, runs: int) -> list[dict[str, Any]]:
    """One row per rule; all on the same draws."""
    ways = [(rule.name, rule.threshold) for rule in RULES] + [('cross-fitted', crossed)]
    trials: dict[str, list[tuple[float, float]]] = {name: [] for name, _ in ways}
    for seed in range(runs):
        draw = np.random.default_rng(seed).integers(len(pool), size=units)
        for name, threshold in ways:
            trials[name].append(pool.judged(*threshold(pool, draw, risk, delta)))
    return [_row(name, f'{units:,} draws', np.array(found), risk, delta) for name, found in trials.items()]


def apart(pool: Pool, first: int, risk: float, delta: float) -> list[dict[str, Any]]:
    """Calibrated on one store, judged on the other, as they are."""
    rows = []
    for name, promise in (('calibrated', None), ('certified', delta)):
        request = CalibrationRequest(f'risk={risk}', certify=promise)
        held = None if promise is None else hold_out_at_random(first, request.certify_share)[1]
        found = fit(replace(pool.evidence.only(np.arange(first)), held=held), request)
        unseen = pool.evidence.only(np.arange(first, len(pool)))
        routes = route(unseen.exits, found.policy(), unseen.units)
        threshold = np.inf if found.accept is None else found.accept
        point = operating_point(routes.confidence, routes.wrong, threshold)
        rows.append(_row(name, 'the stores as they are', np.array([(point.coverage, point.risk)]), risk, delta))
    return rows


def _row(name: str, where: str, trials: NDArray[np.float64], risk: float, delta: float) -> dict[str, Any]:
    coverage, risks = trials.T
    known = risks[np.isfinite(risks)]
    return dict(
        threshold=name,
        units=where,
        target=100 * risk,
        delta=delta,
        runs=len(trials),
        coverage=100 * float(coverage.mean()),
        risk=100 * float(known.mean()) if len(known) else None,
        lowest=100 * float(known.min()) if len(known) else None,
        highest=100 * float(known.max()) if len(known) else None,
        above_target=100 * float((known > risk).sum() / len(trials)),
        nothing=100 * float((coverage == 0).mean()),
    )


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('calibration', help='score store')
    parser.add_argument('test', help='score store of the same members')
    parser.add_argument('--chain', nargs='+', default=['small0', 'small1'], help='names of members in order')
    parser.add_argument('--risk', type=float, default=0.05)
    parser.add_argument('--delta', type=float, default=0.1)
    parser.add_argument('--units', type=int, nargs='+', default=[1000, 4000, 10_000], help='of one calibration')
    parser.add_argument('--repeats', type=int, default=2000)
    args = parser.parse_args()
    stores = [ScoreStore.open(args.calibration), ScoreStore.open(args.test)]
    pool = Pool(stores, args.chain)
    rows = [row for units in args.units for row in measure(pool, units, args.risk, args.delta, args.repeats)]
    report(rows + apart(pool, stores[0].units, args.risk, args.delta), args.json)


if __name__ == '__main__':
    main()
