# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How often a certified risk is exceeded where the true risk is known exactly, and how much of delta that is.

    python benchmarks/calibration/guarantee_simulation.py --json benchmarks/results/guarantee_simulation.json

Each population says with which probability a prediction of a given score is wrong, so the true risk above every
threshold is known. Most are made to break the promise: risks just above the target at many thresholds at once, errors
among the most confident, few distinct scores. Thousands of calibrations are drawn from each at once; a test ties what
is computed here to the package's own functions.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr
from scipy.stats import binom

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, report

SHARE = 0.7  # of the units, to certify on
_NUMBERS = 2_000_000  # at once


class Population(ABC):
    """Scores, and whether the prediction is wrong."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, shape: tuple[int, int]) -> tuple[NDArray, NDArray[np.bool_]]:
        """Independent units: scores, higher = more certain, and which are wrong."""

    @abstractmethod
    def risk(self, threshold: NDArray[np.float64]) -> NDArray[np.float64]:
        """The true share of errors among units with at least that score."""


class Continuous(Population):
    """Scores without ties, uniform on (0, 1).

    Args:
        rate: from the share v of units that are more confident to the probability of an error there.
    """

    CELLS = 100_000

    def __init__(self, rate: Callable[[NDArray], NDArray]) -> None:
        self.rate = np.clip(rate((np.arange(self.CELLS) + 0.5) / self.CELLS), 0, 1)
        self.errors = np.concatenate([[0], self.rate.cumsum()]) / self.CELLS

    def draw(self, rng: np.random.Generator, shape: tuple[int, int]) -> tuple[NDArray, NDArray[np.bool_]]:
        """See :meth:`Population.draw`."""
        above = rng.random(shape)
        return 1 - above, rng.random(shape) < self.rate[(above * self.CELLS).astype(int)]

    def risk(self, threshold: NDArray[np.float64]) -> NDArray[np.float64]:
        """See :meth:`Population.risk`."""
        above = np.clip(1 - threshold, 1e-12, 1)
        return np.interp(above, np.linspace(0, 1, self.CELLS + 1), self.errors) / above


class Atoms(Population):
    """A few distinct scores, from the most to the least certain.

    Args:
        shares: of the units that have each.
        rates: probability of an error there.
    """

    def __init__(self, shares: Sequence[float], rates: Sequence[float]) -> None:
        self.shares, self.rates = np.array(shares) / np.sum(shares), np.array(rates)
        self.scores = 1 - np.arange(len(self.shares)) / len(self.shares)
        self.risks = (self.shares * self.rates).cumsum() / self.shares.cumsum()

    def draw(self, rng: np.random.Generator, shape: tuple[int, int]) -> tuple[NDArray, NDArray[np.bool_]]:
        """See :meth:`Population.draw`."""
        which = np.minimum(np.searchsorted(self.shares.cumsum(), rng.random(shape), side='right'), len(self.rates) - 1)
        return self.scores[which], rng.random(shape) < self.rates[which]

    def risk(self, threshold: NDArray[np.float64]) -> NDArray[np.float64]:
        """See :meth:`Population.risk`."""
        accepted = np.searchsorted(-self.scores, -threshold, side='right')
        return np.where(accepted > 0, self.risks[accepted - 1], 0)


def populations(risk: float) -> Iterator[tuple[str, Population]]:
    """Those that a promise of this risk is tried on."""
    above = 1.01 * risk
    yield 'error rate falls with confidence', Continuous(lambda v: 6 * risk * v**2)
    yield '1 % above the target everywhere', Continuous(lambda v: np.full_like(v, above))
    yield 'all errors among the most confident', Continuous(lambda v: np.where(v < above / 2, 1.0, (v > 0.5) * above))
    yield (
        'steps of 0 and more at 1/2, 1/4, ...',
        Continuous(lambda v: np.where((np.log2(v) + 0.3) % 1 < 0.3, 0, above / 0.55)),
    )
    yield 'jagged, 0 or 1', Continuous(lambda v: ((v * 400) % 1 < 1.02 * risk).astype(float))
    yield 'safe above the median, then the target', Continuous(lambda v: np.where(v < 0.5, 0.2 * risk, 1.81 * risk))
    yield (
        'three scores, the last just above',
        Atoms([0.3, 0.3, 0.4], [0.3 * risk, 0.9 * risk, (1.005 - 0.09 - 0.27) * risk / 0.4]),
    )
    yield '40 % saturated', Atoms([0.4] + [0.006] * 100, [1.005 * risk] * 101)
    yield 'scores of shares 1/2, 1/4, ...', Atoms([2.0**-j for j in range(9, 0, -1)], [1.005 * risk] * 9)
    yield 'scores of risk 0 and 2 in turn', Atoms([0.05] * 20, [2 * above * (k % 2 == 0) for k in range(20)])


@dataclass(frozen=True)
class Found:
    """What came of many calibrations.

    Attributes:
        threshold: ``(runs)``, infinite where none was certified.
        broken: bool ``(runs)``, whether the true risk is above the target.
    """

    threshold: NDArray[np.float64]
    broken: NDArray[np.bool_]


def simulate(population: Population, units: int, risk: float, delta: float, runs: int, seed: int = 0) -> Found:
    """Certify many times, each time on fresh units, the share that is not certified on giving the start.

    Args:
        population: of which the units are drawn.
        units: of one calibration.
        risk, delta: what is to be promised.
        runs: number of calibrations.
        seed: of all draws.
    """
    rng, held = np.random.default_rng(seed), round(units * SHARE)
    limit = _most_errors(held, risk, delta)
    parts: list[NDArray[Any]] = []
    while (left := runs - sum(len(part) for part in parts)) > 0:
        batch = min(left, max(1, _NUMBERS // units))
        starts = _starts(*population.draw(rng, (batch, units - held)), risk)
        parts.append(_ends(*population.draw(rng, (batch, held)), starts, limit))
    threshold = np.concatenate(parts)
    certified = np.isfinite(threshold)
    return Found(threshold, certified & (population.risk(np.where(certified, threshold, 1)) > risk * (1 + 1e-9)))


def _sorted(scores: NDArray, wrong: NDArray[np.bool_]) -> tuple[NDArray, NDArray, NDArray[np.bool_]]:
    """Falling scores, errors up to each rank, and which ranks end a tie."""
    order = np.argsort(-scores, axis=1, kind='stable')
    scores, wrong = np.take_along_axis(scores, order, 1), np.take_along_axis(wrong, order, 1)
    ends = np.ones(scores.shape, bool)
    ends[:, :-1] = scores[:, 1:] != scores[:, :-1]
    return scores, wrong.cumsum(1), ends


def _below(scores: NDArray, ends: NDArray[np.bool_], rank: NDArray[np.int64]) -> NDArray[np.float64]:
    """Midway between the score at each row's rank, which ends a tie, and the next one."""
    row = np.arange(len(scores))
    here = scores[row, rank]
    following = np.where(
        rank + 1 < scores.shape[1],
        scores[row, np.minimum(rank + 1, scores.shape[1] - 1)],
        here - 2e-4 * np.abs(here),
    )
    return np.asarray((here + following) / 2, np.float32).astype(np.float64)


def _starts(scores: NDArray, wrong: NDArray[np.bool_], risk: float) -> NDArray[np.float64]:
    """Per row the threshold with the smallest p-value."""
    scores, errors, ends = _sorted(scores, wrong)
    count = np.broadcast_to(np.arange(1, scores.shape[1] + 1), scores.shape)
    # Ratios of neighbouring p-values are far above the rounding of their logarithms.
    p_value = np.full(scores.shape, np.inf)
    p_value[ends] = binom.logcdf(errors[ends], count[ends], risk)
    return _below(scores, ends, p_value.argmin(1))


def _most_errors(units: int, risk: float, delta: float) -> NDArray[np.int64]:
    """Per number of accepted units, from 1, how many errors pass; -1 where none do."""
    count = np.arange(1, units + 1)
    most = binom.ppf(delta, count, risk)
    return np.where(bdtr(most, count, risk) <= delta, most, most - 1).astype(np.int64)


def _ends(
    scores: NDArray, wrong: NDArray[np.bool_], starts: NDArray[np.float64], limit: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Per row the last threshold of the sequence that passes, infinite if the first one fails."""
    scores, errors, ends = _sorted(scores, wrong)
    first = (scores >= starts[:, None]).sum(1) - 1  # rank of the lowest score that the start accepts
    rank = np.arange(scores.shape[1])
    fails = ends & (errors > limit) & (rank >= first[:, None])
    stop = np.where(fails.any(1), fails.argmax(1), scores.shape[1])
    last = np.where(ends & (rank < stop[:, None]), rank, -1).max(1)
    passed = (first >= 0) & (last >= first)
    found = np.where(last == first, starts, _below(scores, ends, np.maximum(last, 0)))
    return np.where(passed, found, np.inf)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('--runs', type=int, default=2000)
    parser.add_argument('--units', type=int, nargs='+', default=[150, 500, 2000])
    parser.add_argument('--risks', type=float, nargs='+', default=[0.01, 0.05, 0.2, 0.5])
    parser.add_argument('--deltas', type=float, nargs='+', default=[0.1, 0.3])
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for risk in args.risks:
        for name, population in populations(risk):
            for units in args.units:
                for delta in args.deltas:
                    found = simulate(population, units, risk, delta, args.runs, seed=len(rows))
                    broken = float(found.broken.mean())
                    noise = (delta * (1 - delta) / args.runs) ** 0.5
                    rows.append(
                        dict(
                            population=name,
                            units=units,
                            risk=risk,
                            delta=delta,
                            runs=args.runs,
                            certified=100 * float(np.isfinite(found.threshold).mean()),
                            broken=100 * broken,
                            of_delta=broken / delta,
                            above_delta_by_sigma=(broken - delta) / noise,
                        )
                    )
    report(rows, args.json)
    most = max(rows, key=lambda row: row['above_delta_by_sigma'])
    print(
        f'{len(rows)} settings; the promise is broken most often by {most["population"]!r}: {most["broken"]:.2f} % at '
        f'delta {100 * most["delta"]:g} % ({most["above_delta_by_sigma"]:+.1f} standard errors of {args.runs} runs)'
    )


if __name__ == '__main__':
    main()
