# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Chains that a search found, on images that it did not see, beside each of their networks alone.

    mmcascade search work_dirs/headline/cifar10/calibration_scores --quality accuracy --policy threshold \
        --out work_dirs/cifar10_front
    python benchmarks/search/front_unseen.py work_dirs/cifar10_front work_dirs/headline/cifar10/test_scores \
        --json benchmarks/results/front_cifar10.json

The search reads one store (see headline.py) and writes pareto.json; its chains with their bounds are replayed on a
store of other images. Intervals of 95 % are paired bootstraps of a chain's accuracy minus that of the largest member.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.replay.stored_stages import StoredScores
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.evaluation.curves.intervals.bootstrap import bootstrap
from mmcascade.routing import WindowPolicy

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, report


def _mean_of(values: NDArray[np.float64], units: NDArray[np.int64]) -> float:
    return float(values[units].mean())


def measure(front: Path, store: ScoreStore) -> list[dict[str, Any]]:
    """A row for each member by itself, and for each point of the front."""
    found = json.loads((front / 'pareto.json').read_text())
    names = [f'{stage.member}@{stage.view}' for stage in store.header.identity.stages]
    if missing := {stage for point in found['points'] for stage in point['chain']} - set(names):
        raise SystemExit(f'error: the store has no scores of {sorted(missing)}; it has {names}')
    source = StoredScores(store.stages(), store.labels)
    systems = [([name], None) for name in names] + [(point['chain'], point) for point in found['points']]
    right, costs = [], []
    for chain, point in systems:
        windows = point['windows'] if point else []
        routes = source.route(tuple(map(names.index, chain)), WindowPolicy([w and tuple(w) for w in windows]))
        right.append(1.0 - routes.wrong)
        costs.append(float(np.mean(routes.cost)))
    # Of members, the one that costs most is what a chain would replace.
    largest = int(np.argmax(costs[: len(names)]))
    gaps = [100 * (own - right[largest]) for own in right]
    intervals = [bootstrap(partial(_mean_of, gap), len(gap)) for gap in gaps]
    return [
        dict(
            chain=' > '.join(stage.partition('@')[0] for stage in chain),
            alone=point is None,
            calibration=100 * point['whole']['accuracy'] if point else None,
            accuracy=100 * float(right[k].mean()),
            mmacs=costs[k] / 1e6,
            of_largest=costs[k] / costs[largest],
            difference=interval.estimate,
            low=interval.low,
            high=interval.high,
            images=len(right[k]),
        )
        for k, ((chain, point), interval) in enumerate(zip(systems, intervals, strict=True))
    ]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('front', type=Path, help='folder that `mmcascade search` wrote')
    parser.add_argument('store', type=Path, help='score store of other images')
    args = parser.parse_args()
    report(measure(args.front, ScoreStore.open(args.store)), args.json)


if __name__ == '__main__':
    main()
