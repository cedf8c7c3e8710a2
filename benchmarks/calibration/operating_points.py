# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
r"""What each kind of target gives: fitted on one score store, measured on another.

    python benchmarks/calibration/operating_points.py work_dirs/quickstart/calibration_scores \
        work_dirs/quickstart/test_scores

The last rows keep a window, and let it follow the stream, on test images of which half are of one class.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mmcascade.calibration.fit.calibrate import fit
from mmcascade.calibration.fit.evidence import Evidence
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.fit.target import Target
from mmcascade.calibration.replay.replay import replay
from mmcascade.calibration.stores.identity import CascadeIdentity, StageIdentity
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.evaluation.curves import coverage_at_risk
from mmcascade.routing import CachedStage

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, report

TARGETS = ('risk=0.05', 'coverage=0.8', 'tpr=0.95', 'deferred=0.2', 'accuracy=0.905', 'macs=7e5')
CROWDED_CLASS = 6


class Split:
    """The chain's stages and the labels of one store."""

    def __init__(self, store: ScoreStore, chain: Sequence[str]) -> None:
        names = [stage.member for stage in store.header.identity.stages]
        stages = store.stages()
        self.stages: list[CachedStage] = [stages[names.index(member)] for member in chain]
        self.labels = np.asarray(store.labels)


def calibrate(split: Split, chain: Sequence[str], target: str, fit_on: str) -> Calibration:
    identity = CascadeIdentity(tuple(StageIdentity(name, 0, '') for name in chain), 'max_prob', 'prob')
    accept = None if Target.parse(target).is_decision else 'risk=0.05'
    evidence = Evidence.of_stages(split.stages, split.labels, identity)
    return fit(evidence, CalibrationRequest(target, accept, fit_on=fit_on))


def row(name: str, calibration: Calibration, split: Split, units: np.ndarray) -> dict[str, Any]:
    result = replay(split.stages, calibration.policy(), units)
    wrong = result.label != split.labels[units]
    accepted = result.confidence >= calibration.accept
    return dict(
        target=name,
        windows=' '.join(map(_window, calibration.windows)),
        **{f'reached{k}': 100 * share for k, share in enumerate(result.reached(len(split.stages)))},
        kmacs=result.macs.mean() / 1e3,
        accuracy=100 * (1 - wrong.mean()),
        accepted=100 * accepted.mean(),
        risk=100 * wrong[accepted].mean(),
        coverage_at_risk5=100 * coverage_at_risk(result.confidence, wrong, 0.05),
    )


def _window(window: tuple[float | None, float | None] | None) -> str:
    if window is None:
        return 'closed'
    return '..'.join('' if end is None else f'{end:.3f}' for end in window)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('calibration', help='score store to calibrate on')
    parser.add_argument('test', help='score store of the same members to measure on')
    parser.add_argument('--chain', nargs='+', default=['small0', 'small1'], help='names of members in order')
    parser.add_argument('--targets', nargs='+', default=TARGETS)
    parser.add_argument('--fit-on', choices=['reached', 'all'], default='reached')
    args = parser.parse_args()
    known, unseen = (Split(ScoreStore.open(folder), args.chain) for folder in (args.calibration, args.test))
    everyone = np.arange(len(unseen.labels))
    rows = []
    for target in args.targets:
        calibration = calibrate(known, args.chain, target, args.fit_on)
        rows.append(row(target, calibration, unseen, everyone))
    window = calibrate(known, args.chain, 'risk=0.05', args.fit_on)
    crowd = np.flatnonzero(unseen.labels == CROWDED_CLASS)
    others = np.random.default_rng(0).choice(np.flatnonzero(unseen.labels != CROWDED_CLASS), len(crowd), replace=False)
    shifted = np.random.default_rng(1).permutation(np.concatenate([crowd, others]))
    rows += [
        row('risk=0.05, shifted', window, unseen, shifted),
        row('risk=0.05, shifted, adapt', replace(window, adapt=1000), unseen, shifted),
    ]
    report(rows, args.json)


if __name__ == '__main__':
    main()
