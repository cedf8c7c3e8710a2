# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Windows and accept thresholds of a segmentation cascade, judged on images that they were not fitted on.

Reads a store of cells (of ``tools/calibrate.py --store``). Neighbouring images of a drive resemble each other, so the
images are divided into blocks of consecutive ones, every second block is in the other half, and each half is judged by
what was fitted on the other. Rows are of two kinds:

- one-sided and two-sided windows at the same budgets, on the images fitted on and on the others;
- what is accepted for a risk, with windows around that decision, and with the same share of cells sent on by a
  one-sided threshold;
- upper bounds on the mean loss of all images, by a bet and by Hoeffding-Bentkus, from images drawn for that.

Example: benchmarks/segmentation/cell_decisions.py work_dirs/camvid/cascade.store --json decisions.json
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy
from scipy.stats import binom

from mmcascade.calibration.fit.accepting.maps import judged_cells, judged_images
from mmcascade.calibration.fit.calibrate import fit
from mmcascade.calibration.fit.certificates.bets import Bets
from mmcascade.calibration.fit.certificates.held_out import hold_out_at_random
from mmcascade.calibration.fit.evidence import Evidence
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.replay.costs import Chain, Costs
from mmcascade.calibration.replay.quality import class_iou
from mmcascade.calibration.replay.routes import Routes, route
from mmcascade.calibration.replay.stored_stages import StoredCells
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.routing import WindowPolicy

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, report

BUDGETS = (0.3, 0.5, 0.7)  # of what the ensemble costs
RISKS = (0.7, 0.85, 0.95)  # of the mean loss of the ensemble's images
KEYS = (
    'target',
    'windows',
    'bounds',
    'miou_fitted',
    'miou_unseen',
    'images',
    'image_risk',
    'cells',
    'cell_risk',
    'cost',
    'held',
    'mean_loss',
    'bound',
)

SHARE, DELTA = 0.7, 0.1  # of the images that a bound rests on, and how often it may fail
Half = tuple[Evidence, Evidence]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('store', help='folder of a complete store of cells')
    parser.add_argument('--chain', help='numbers of the stages to take, such as 0,2 (default: all)')
    parser.add_argument('--block', type=int, default=10, help='consecutive images per block (default 10)')
    args = parser.parse_args()
    store = CellStore.open(args.store)
    chain = tuple(map(int, args.chain.split(','))) if args.chain else tuple(range(store.stages))
    evidence = evidence_of(store, chain)
    halves = list(halves_of(evidence, args.block))
    rows = [*window_rows(evidence, halves), *decision_rows(evidence, halves), *bound_rows(evidence)]
    report([dict.fromkeys(KEYS) | row for row in rows], args.json)


def evidence_of(store: CellStore, chain: Chain) -> Evidence:
    """Some of the stages of a store as a cascade."""
    source, header = StoredCells(store), store.header
    costs = source.units.costs
    own = Costs(
        costs.per_unit[list(chain)],
        costs.group,
        frozenset(chain.index(stage) for stage in costs.once if stage in chain),
        whole={chain.index(stage): cost for stage, cost in costs.whole.items() if stage in chain},
    )
    cascade = header.identity.cascade
    return Evidence(
        replace(cascade, stages=tuple(cascade.stages[stage] for stage in chain)),
        [header.temperatures[stage] for stage in chain],
        source.along(chain),
        replace(source.units, costs=own),
        classes=header.classes,
    )


def halves_of(evidence: Evidence, block: int) -> Iterator[Half]:
    """What is fitted on, and what is judged by it, both ways."""
    odd = np.arange(evidence.units.groups) // block % 2 == 1
    for first in (odd, ~odd):
        yield evidence.only(np.flatnonzero(first)), evidence.only(np.flatnonzero(~first))


def window_rows(evidence: Evidence, halves: Sequence[Half]) -> Iterator[dict[str, Any]]:
    """One- and two-sided windows at the same budgets."""
    everything = all_open(evidence).cost.mean()
    for budget in BUDGETS:
        for windows in ('one-sided', 'two-sided'):
            fitted, known, unseen = [], [], []
            for first, second in halves:
                made = fit(first, CalibrationRequest(f'macs={budget * everything:.9g}', windows=windows))
                fitted.append(made)
                known.append(routed(first, made))
                unseen.append(routed(second, made))
            yield {
                'target': f'macs {budget:g}x',
                'windows': windows,
                'bounds': '; '.join(described(made) for made in fitted),
                'miou_fitted': miou_of(known),
                'miou_unseen': miou_of(unseen),
                'cost': float(np.concatenate([one.cost for one in unseen]).mean() / everything),
            }


def decision_rows(evidence: Evidence, halves: Sequence[Half]) -> Iterator[dict[str, Any]]:
    """What is accepted at some risks."""
    whole = all_open(evidence)
    ensemble, everything = judged_images(whole).lost.mean(), whole.cost.mean()
    for share in RISKS:
        risk = f'risk={share * ensemble:.4g}'
        for name in ('around the decision', 'one-sided'):
            points: dict[str, list[tuple[float, float]]] = {'images': [], 'cells': []}
            costs, refused = [], None
            for first, second in halves:
                try:
                    made = fit(first, CalibrationRequest(risk))
                    if name == 'one-sided':
                        went = made.measured['deferred'][0]
                        made = fit(first, CalibrationRequest(f'deferred={went}', accept=risk))
                except ValueError:  # no threshold keeps it on this half
                    refused = 'not reached'
                    continue
                routes = routed(second, made)
                points['images'].append(judged_images(routes).point(made.accept))
                points['cells'].append(judged_cells(routes).point(made.accept_cells))
                costs.append(routes.cost)
            row: dict[str, Any] = {'target': risk, 'windows': name, 'bounds': refused}
            for what, found in points.items():
                row[what] = float(np.mean([coverage for coverage, _ in found])) if found else None
                known = [one for _, one in found if not np.isnan(one)]
                row[f'{what[:-1]}_risk'] = float(np.mean(known)) if known else None
            row['cost'] = float(np.concatenate(costs).mean() / everything) if costs else None
            yield row


def bound_rows(evidence: Evidence) -> Iterator[dict[str, Any]]:
    """What is known of the mean loss of images of the ensemble, all of them accepted."""
    first, held = hold_out_at_random(evidence.units.groups, SHARE, 0)
    known, unseen = (judged_images(all_open(evidence.only(groups))) for groups in (first, held))
    count, mean = len(unseen.lost), float(unseen.lost.mean())
    bets, planned = Bets.of(known.confidence, known.lost), Bets.of(unseen.confidence, unseen.lost)

    def by_bet(risk: float) -> bool:
        plan = bets.plan(risk, DELTA, count)
        return plan is not None and bool(planned.capital(risk, plan[0])[-1] >= -np.log(DELTA))

    def by_hoeffding_bentkus(risk: float) -> bool:
        """Bates et al. 2021, theorem 5."""
        rate = min(mean, risk)
        divergence = xlogy(rate, rate / risk) + xlogy(1 - rate, (1 - rate) / (1 - risk))
        p_value = min(np.exp(-count * divergence), np.e * binom.cdf(np.ceil(count * mean), count, risk))
        return bool(p_value <= DELTA)

    for name, holds in (('bet', by_bet), ('Hoeffding-Bentkus', by_hoeffding_bentkus)):
        low, high = mean, 1.0
        while high - low > 1e-5:
            middle = (low + high) / 2
            low, high = (low, middle) if holds(middle) else (middle, high)
        yield {'target': f'bound, delta {DELTA}', 'windows': name, 'held': count, 'mean_loss': mean, 'bound': high}


def all_open(evidence: Evidence) -> Routes:
    """Every cell runs every stage."""
    return route(evidence.exits, WindowPolicy([(None, None)] * (len(evidence.exits) - 1)), evidence.units)


def routed(evidence: Evidence, made: Calibration) -> Routes:
    """What a calibrated cascade does with some images."""
    return route(evidence.exits, made.policy(), evidence.units)


def described(made: Calibration) -> str:
    """The windows in short."""
    ends = [window and ['' if end is None else f'{end:.4f}' for end in window] for window in made.windows]
    return ', '.join('nobody' if window is None else f'{window[0]}..{window[1]}' for window in ends)


def miou_of(parts: Sequence[Routes]) -> float:
    """Over the images of several routes."""
    sums: NDArray[np.float64] = np.sum([one.sums.sum(0) for one in parts], 0)
    right, predicted = np.split(sums, 2)
    label = np.sum([one.units.labelled for one in parts], 0)
    return float(np.nanmean(class_iou(right, predicted, label)))


if __name__ == '__main__':
    main()
