# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How often calibrated and certified risks hold on images that calibration has not seen.

    python benchmarks/guarantee.py work_dirs/quickstart/calibration_scores work_dirs/quickstart/test_scores

The images of both stores are shuffled together and cut in two again and again: calibrate on one part, judge on the
other. Both parts then come from one distribution, which is what calibration assumes. The last rows keep the two stores
apart as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from common import arguments, report

from mmcascade.calibration.fit.calibrate import fit
from mmcascade.calibration.fit.evidence import Evidence
from mmcascade.calibration.fit.held_out import hold_out
from mmcascade.calibration.fit.operating_point import operating_point
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.replay.routes import route
from mmcascade.calibration.stores.identity import CascadeIdentity, StageIdentity
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.routing import CachedStage


class Pool:
    """A two-stage or longer chain on the images of both stores."""

    def __init__(self, stores: Sequence[ScoreStore], chain: Sequence[str]) -> None:
        names = [stage.member for stage in stores[0].header.identity.stages]
        columns = [names.index(member) for member in chain]
        parts = [store.stages() for store in stores]
        stages = [
            CachedStage(torch.cat([part[k].values for part in parts]), is_logits=parts[0][k].is_logits) for k in columns
        ]
        self.labels = np.concatenate([store.labels for store in stores])
        identity = CascadeIdentity(tuple(StageIdentity(name, 0, '') for name in chain), 'max_prob', 'prob')
        self.evidence = Evidence.of_stages(stages, self.labels, identity)

    def trial(
        self, calibration: np.ndarray, test: np.ndarray, risk: float, delta: float | None, seed: int
    ) -> tuple[float, float]:
        """Coverage and risk on the test units; (0, NaN) where nothing can be certified."""
        evidence, held = self.evidence.only(calibration), None
        if delta is not None:
            held = hold_out(self.labels[calibration], 0.5, seed)[1]
        found = fit(replace(evidence, held=held), CalibrationRequest(f'risk={risk}', certify=delta, seed=seed))
        if found.accept is None:
            return 0.0, float('nan')
        unseen = self.evidence.only(test)
        result = route(unseen.exits, found.policy(), unseen.units)
        point = operating_point(result.confidence, result.wrong, found.accept)
        return point.coverage, point.risk


def measure(pool: Pool, first: int, risk: float, delta: float, repeats: int) -> list[dict[str, Any]]:
    n, rng = len(pool.labels), np.random.default_rng(0)
    splits = [np.split(rng.permutation(n), [first]) for _ in range(repeats)]
    rows = []
    for name, promise in (('calibrated', None), (f'certified, delta {delta:g}', delta)):
        shuffled = np.array(
            [pool.trial(np.sort(a), np.sort(b), risk, promise, seed) for seed, (a, b) in enumerate(splits)]
        )
        apart = np.array([pool.trial(np.arange(first), np.arange(first, n), risk, promise, 0)])
        for where, trials in ((f'{repeats} shuffled splits', shuffled), ('the stores as they are', apart)):
            rows.append(
                dict(
                    threshold=name,
                    units=where,
                    target=100 * risk,
                    coverage=100 * trials[:, 0].mean(),
                    risk=100 * np.nanmean(trials[:, 1]),
                    lowest=100 * np.nanmin(trials[:, 1]),
                    highest=100 * np.nanmax(trials[:, 1]),
                    share_above_target=100 * np.nanmean(trials[:, 1] > risk),
                )
            )
    return rows


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('calibration', help='score store')
    parser.add_argument('test', help='score store of the same members')
    parser.add_argument('--chain', nargs='+', default=['small0', 'small1'], help='names of members in order')
    parser.add_argument('--risk', type=float, default=0.05)
    parser.add_argument('--delta', type=float, default=0.1)
    parser.add_argument('--repeats', type=int, default=200)
    args = parser.parse_args()
    stores = [ScoreStore.open(args.calibration), ScoreStore.open(args.test)]
    rows = measure(Pool(stores, args.chain), stores[0].units, args.risk, args.delta, args.repeats)
    report(rows, args.json)


if __name__ == '__main__':
    main()
