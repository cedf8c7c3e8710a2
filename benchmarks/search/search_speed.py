# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Time how many settings of stored cascades a search evaluates per second, on one core.

    python benchmarks/search/search_speed.py --units 50000 --json search_speed.json

A setting is one window per gap. Every figure includes sorting the scores and building the tables. pair_risk_curves
gives coverage and risk at each of 100 accept thresholds for every setting. The last column is the time of one setting
by replay through the router, over the same units with 10 classes.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmcascade.calibration.grid.grid import Grid
from mmcascade.calibration.grid.windows import Windows
from mmcascade.calibration.replay.cuts import cut_points
from mmcascade.calibration.replay.quality import accepted_at
from mmcascade.calibration.replay.replay import replay
from mmcascade.calibration.replay.stored_stages import StoredScores
from mmcascade.calibration.replay.units import Exit, Units
from mmcascade.routing import CachedStage, WindowPolicy

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, best_of, report

THRESHOLDS = 100
_BLOCK = 1 << 16  # numbers at a time, which fit a processor's cache


def accuracy_and_cost(exits: list[Exit], units: Units, cuts: int) -> int:
    """Accuracy and mean cost of every window, or of every pair of windows; returns how many settings."""
    chain = tuple(range(len(exits)))
    grid = Grid(exits, units, chain, [cut_points(exit_.confidence, cuts) for exit_ in exits[:-1]])
    first, *others = [Windows.every(len(cut)) for cut in grid.cuts]
    step = max(1, _BLOCK // int(np.prod([len(window) for window in others])))
    count = 0
    for start in range(0, len(first), step):
        errors, cost = grid.figures([first[start : start + step], *others])
        accuracy, cost = 1 - errors[..., 0] / len(units), cost / len(units)
        count += accuracy.size
    return count


def risk_curves(exits: list[Exit], units: Units, cuts: int) -> int:
    """Coverage and risk at 100 accept thresholds for every window of a pair; returns how many windows."""
    thresholds = cut_points(np.concatenate([exit_.confidence for exit_ in exits]), THRESHOLDS)
    carried = [accepted_at(exit_, thresholds) for exit_ in exits]
    grid = Grid(carried, units, (0, 1), [cut_points(exits[0].confidence, cuts)])
    windows = Windows.every(cuts)
    step = _BLOCK // THRESHOLDS
    count = 0
    for start in range(0, len(windows), step):
        sums = grid.figures([windows[start : start + step]])[0]
        accepted, errors = sums[..., :THRESHOLDS], sums[..., THRESHOLDS:]
        coverage, risk = accepted / len(units), errors / np.maximum(accepted, 1)
        assert coverage.shape == risk.shape
        count += len(risk)
    return count


def measure(units: int, repeats: int, seed: int = 0) -> list[dict[str, Any]]:
    """One row per kind of evaluation."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(10, size=units)
    stages = [
        CachedStage(
            torch.from_numpy((1.5 * np.eye(10)[labels] + rng.standard_normal((units, 10))).astype(np.float32)),
            macs=1.0 + k,
        )
        for k in range(3)
    ]
    source = StoredScores(stages, labels)
    chain = source.along((0, 1, 2))
    replayed = {
        length: best_of(partial(replay, stages[:length], WindowPolicy([(0.3, 0.6)] * (length - 1)), units), repeats)[1]
        for length in (2, 3)
    }
    rows = []
    for name, call, length, cuts in (
        ('pair_accuracy_cost', accuracy_and_cost, 2, 2048),
        ('pair_risk_curves', risk_curves, 2, 512),
        ('chain3', accuracy_and_cost, 3, 48),
    ):
        settings, seconds = best_of(partial(call, chain[:length], source.units, cuts), repeats)
        rows.append(
            dict(
                name=name,
                units=units,
                settings=settings,
                seconds=seconds,
                settings_per_s=settings / seconds,
                replay_seconds_per_setting=replayed[length],
            )
        )
    return rows


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('--units', type=int, default=50_000)
    parser.add_argument('--repeats', type=int, default=5, help='the best of so many runs counts')
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = measure(args.units, args.repeats)
    report(rows, args.json)


if __name__ == '__main__':
    main()
