# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Whether another fusion, confidence or temperature ranks predictions better than the default, over three families.

    python benchmarks/headline/defaults.py --json benchmarks/results/defaults.json

It reads the stores of headline.py. Per family and choice: AURC and coverage at the risk of the ensembles and
of the window cascades, each a mean over the family's chains, and their differences to the default (probabilities
averaged, max_prob, temperatures) with 95 % paired bootstrap intervals over the test images; percent.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from headline import DATA, stores_of
from headline_systems import Pool, Setting
from numpy.typing import NDArray

from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.two_sided.windows import fit_windows
from mmcascade.calibration.replay.routes import route
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.evaluation.curves.intervals.ranked import Resampling
from mmcascade.evaluation.curves.ranking.summaries import largest_coverage, mean_risk
from mmcascade.routing import CONFIDENCES, WindowPolicy
from mmcascade.routing.policies.policies import Window

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, report

#: Fusion, confidence and temperatures.
Choice = tuple[str, str, str]
DEFAULT: Choice = ('prob', 'max_prob', Setting.temperatures)
SYSTEMS = ('ensemble', 'window')
FIGURES = ('aurc', 'coverage')


def choices(temperatures: Sequence[str]) -> Iterator[Choice]:
    """All, the default first."""
    yield DEFAULT
    for how in temperatures:
        for fusion in ('prob', 'logit'):
            for confidence in CONFIDENCES:
                if (fusion, confidence, how) != DEFAULT:
                    yield fusion, confidence, how


def rankings(pool: Pool, choice: Choice, risk: float) -> list[Resampling]:
    """The test images as the ensemble and the window cascade rank them."""
    fusion, confidence, temperatures = choice
    known, unseen = np.arange(pool.known), np.arange(pool.known, len(pool))
    evidence = pool.evidence(pool.scaled(known, temperatures), fusion=fusion, confidence=confidence)
    seen, new = evidence.only(known), evidence.only(unseen)
    gaps, least = len(pool.chain) - 1, evidence.cascade.least_members
    everybody: list[Window | None] = [(None, None)] * gaps
    try:
        windows = fit_windows(seen.exits, seen.units, CalibrationRequest(f'risk={risk}'), least).windows
    except ValueError:  # so bad that no threshold meets the risk
        windows = [(None, None) if gap + 1 < least else None for gap in range(gaps)]
    routed = [route(new.exits, WindowPolicy(rules), new.units) for rules in (everybody, windows)]
    return [Resampling(routes.confidence.astype(np.float64), routes.wrong) for routes in routed]


def figures(chains: Sequence[Sequence[Resampling]], times: NDArray[np.int64], risk: float) -> NDArray[np.float64]:
    """Mean AURC and coverage over the chains, ``(systems, figures)``, percent."""
    ranked = [[ranking.counted(times) for ranking in systems] for systems in chains]
    values = [[(mean_risk(each), largest_coverage(each, risk)) for each in systems] for systems in ranked]
    return 100 * np.mean(values, axis=0)


def rows_of(
    family: str, pools: Sequence[Pool], temperatures: Sequence[str], risk: float, repeats: int
) -> list[dict[str, Any]]:
    units = len(pools[0]) - pools[0].known
    rng = np.random.default_rng(0)
    draws = [np.ones(units, np.int64)]
    draws += [np.bincount(rng.integers(units, size=units), minlength=units) for _ in range(repeats)]
    rows, default = [], None
    for choice in choices(temperatures):
        chains = [rankings(pool, choice, risk) for pool in pools]
        found = np.array([figures(chains, times, risk) for times in draws])
        default = found if default is None else default
        low, high = np.quantile((found - default)[1:], [0.025, 0.975], axis=0)
        row: dict[str, Any] = dict(family=family, fusion=choice[0], confidence=choice[1], temperatures=choice[2])
        for s, system in enumerate(SYSTEMS):
            for f, figure in enumerate(FIGURES):
                name = f'{system}_{figure}'
                row[name] = float(found[0, s, f])
                row[f'{name}_change'] = float((found - default)[0, s, f])
                row[f'{name}_low'], row[f'{name}_high'] = float(low[s, f]), float(high[s, f])
        rows.append(row)
    return rows


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('--data', nargs='+', choices=list(DATA), default=list(DATA), help='default: all')
    parser.add_argument('--stores', nargs=2, metavar='STORE', help='of your own: to calibrate on, and to judge on')
    parser.add_argument('--chain', nargs='+', help='of members, with --stores')
    parser.add_argument('--temperatures', nargs='+', default=['auto', 'none'])
    parser.add_argument('--risk', type=float, default=0.05)
    parser.add_argument('--repeats', type=int, default=300, help='draws of images')
    args = parser.parse_args()
    if args.stores:
        families = {'stores': [Pool([ScoreStore.open(folder) for folder in args.stores], args.chain)]}
    else:
        stores = {name: stores_of(name, {}) for name in args.data}
        families = {name: [Pool(stores[name], chain) for chain in DATA[name].chains] for name in args.data}
    rows = []
    for family, pools in families.items():
        rows += rows_of(family, pools, args.temperatures, args.risk, args.repeats)
    report(rows, args.json)


if __name__ == '__main__':
    main()
