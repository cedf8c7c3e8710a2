# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What temperatures and score maps are worth: calibrate on one score store, judge on another.

    python benchmarks/calibration/score_maps.py work_dirs/quickstart/calibration_scores work_dirs/quickstart/test_scores

Every row is a chain of members with its options, next to the same chain without: differences of AURC, AUGRC and
coverage at the risk (percent), with 95 % paired bootstrap intervals over the test units.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mmcascade.calibration.fit.calibrate import fit
from mmcascade.calibration.fit.evidence import Evidence
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.fit.scores.temperatures import fit_temperature
from mmcascade.calibration.replay.replay import Replay, replay
from mmcascade.calibration.stores.identity import CascadeIdentity, StageIdentity
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.evaluation.curves import augrc, aurc, coverage_at_risk
from mmcascade.evaluation.curves.intervals.bootstrap import bootstrap
from mmcascade.routing import CachedStage

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, report

OPTIONS = {
    'neither': ('none', 'none'),
    'maps': ('isotonic', 'none'),
    'temperatures': ('none', 'fit'),
    'both': ('isotonic', 'fit'),
}


class Scores:
    """A store whose members' logits may be multiplied, to see what a badly scaled member does."""

    def __init__(self, folder: str, factors: Mapping[str, float]) -> None:
        self.store, self.factors = ScoreStore.open(folder), factors
        self.members = [stage.member for stage in self.store.header.identity.stages]
        self.labels = np.asarray(self.store.labels)

    def chain(self, order: Sequence[str]) -> list[CachedStage]:
        stages = self.store.stages()
        chosen = [stages[self.members.index(member)] for member in order]
        return [
            replace(stage, values=stage.values * self.factors[member]) if member in self.factors else stage
            for member, stage in zip(order, chosen, strict=True)
        ]


def calibrate(
    scores: Scores, order: Sequence[str], target: str, maps: str, temperatures: str, confidence: str
) -> Calibration:
    stages, labels = scores.chain(order), scores.labels
    if temperatures == 'fit':
        stages = [replace(stage, temperature=fit_temperature(stage, labels)) for stage in stages]
    identity = CascadeIdentity(tuple(StageIdentity(member, 0, '') for member in order), confidence, 'prob')
    return fit(Evidence.of_stages(stages, labels, identity), CalibrationRequest(target, maps=maps))


def on_test(scores: Scores, order: Sequence[str], calibration: Calibration) -> Replay:
    stages = [
        replace(stage, temperature=temperature)
        for stage, temperature in zip(scores.chain(order), calibration.temperatures, strict=True)
    ]
    return replay(
        stages, calibration.policy(), len(scores.labels), calibration.cascade.confidence, 'prob', calibration.maps
    )


def measure(
    known: Scores, unseen: Scores, orders: Sequence[Sequence[str]], target: str, confidence: str, repeats: int
) -> list[dict[str, Any]]:
    labels = unseen.labels
    risk = float(target.removeprefix('risk='))
    summaries: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
        'aurc': aurc,
        'augrc': augrc,
        'coverage': lambda c, e: coverage_at_risk(c, e, risk),
    }
    rows = []
    for order in orders:
        plain: Replay | None = None
        for name, (maps, temperatures) in OPTIONS.items():
            calibration = calibrate(known, order, target, maps, temperatures, confidence)
            result = on_test(unseen, order, calibration)
            plain = plain or result
            wrong, accepted = result.label != labels, result.confidence >= calibration.accept
            row: dict[str, Any] = dict(
                chain=' -> '.join(order),
                options=name,
                accuracy=100 * (1 - wrong.mean()),
                deployed_coverage=100 * accepted.mean(),
                deployed_risk=100 * wrong[accepted].mean(),
            )
            for quality, summary in summaries.items():
                row[quality] = 100 * summary(result.confidence, wrong)
                difference = bootstrap(_difference(summary, result, plain, labels), len(labels), repeats=repeats)
                row[f'{quality}_change'] = 100 * difference.estimate
                row[f'{quality}_interval'] = f'{100 * difference.low:+.3f} .. {100 * difference.high:+.3f}'
            rows.append(row)
            print('.', end='', flush=True)
    print()
    return rows


def _difference(summary: Callable, one: Replay, other: Replay, labels: np.ndarray) -> Callable[[np.ndarray], float]:
    def value(result: Replay, units: np.ndarray) -> float:
        return summary(result.confidence[units], (result.label != labels)[units])

    return lambda units: value(one, units) - value(other, units)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('calibration', help='score store to calibrate on')
    parser.add_argument('test', help='score store of the same members to judge on')
    parser.add_argument(
        '--chain',
        nargs='+',
        action='append',
        help='names of members in order; may be repeated (default: all members in the order of the store)',
    )
    parser.add_argument('--target', default='risk=0.05')
    parser.add_argument('--confidence', default='max_prob')
    parser.add_argument(
        '--scale', nargs='*', default=[], metavar='MEMBER=FACTOR', help='multiply the logits of a member'
    )
    parser.add_argument('--repeats', type=int, default=500, help='bootstrap draws (default 500)')
    args = parser.parse_args()
    factors = {member: float(factor) for member, _, factor in (entry.partition('=') for entry in args.scale)}
    known, unseen = Scores(args.calibration, factors), Scores(args.test, factors)
    rows = measure(known, unseen, args.chain or [known.members], args.target, args.confidence, args.repeats)
    report(rows, args.json)


if __name__ == '__main__':
    main()
