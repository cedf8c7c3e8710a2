# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Time every summary of mmcascade.evaluation.curves against one numpy.sort of the same scores.

    python benchmarks/metrics_speed.py --size 10000000 --json metrics_speed.json

The memory column is the highest extra memory during the call, in bytes per unit.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
from common import print_table, write_rows

from mmcascade.evaluation import curves

SCORES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    'probabilities': lambda rng, n: rng.random(n),
    'logits': lambda rng, n: 5 * rng.standard_normal(n),
    'float32': lambda rng, n: rng.random(n, dtype=np.float32).astype(np.float64),
    '100 levels': lambda rng, n: rng.integers(0, 100, n) / 100}

SUMMARIES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], float]] = {
    'aurc': lambda c, e, o: curves.aurc(c, e),
    'augrc': lambda c, e, o: curves.augrc(c, e),
    'e_aurc': lambda c, e, o: curves.e_aurc(c, e),
    'auroc': lambda c, e, o: curves.auroc(c, ~e),
    'aupr': lambda c, e, o: curves.aupr(c, ~e),
    'coverage_at_risk': lambda c, e, o: curves.coverage_at_risk(c, e, 0.05),
    'risk_at_coverage': lambda c, e, o: curves.risk_at_coverage(c, e, 0.8),
    'fpr_at_tpr': lambda c, e, o: curves.fpr_at_tpr(c, ~o, 0.95),
    'scod_aurc': lambda c, e, o: curves.scod_aurc(c, e, o),
    'scod_augrc': lambda c, e, o: curves.scod_augrc(c, e, o),
    'scod_risk_at_coverage': lambda c, e, o: curves.scod_risk_at_coverage(c, e, o, 0.8)}


def best_seconds(call: Callable[[], Any], repeats: int) -> float:
    """The shortest of several runs: what else the machine does can only add time."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def peak_bytes(call: Callable[[], Any]) -> int:
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def measure(size: int, repeats: int, seed: int = 0) -> list[dict[str, Any]]:
    """One row per kind of scores and summary."""
    rng = np.random.default_rng(seed)
    rows = []
    for kind, draw in SCORES.items():
        confidence = draw(rng, size)
        error, ood = rng.random(size) < 0.3, rng.random(size) < 0.4
        sort = best_seconds(lambda c=confidence: np.sort(c), repeats)
        for name, summary in SUMMARIES.items():
            def call(summary=summary, inputs=(confidence, error, ood)):
                return summary(*inputs)
            seconds = best_seconds(call, repeats)
            rows.append(dict(
                scores=kind, summary=name, size=size, seconds=seconds, sort_seconds=sort,
                times_sort=seconds / sort, bytes_per_unit=peak_bytes(call) / size))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--size', type=int, default=10_000_000, help='number of units')
    parser.add_argument('--repeats', type=int, default=5, help='the best of so many runs counts')
    parser.add_argument('--json', help='also write the rows to this file')
    args = parser.parse_args()
    rows = measure(args.size, args.repeats)
    print_table(rows)
    if args.json:
        write_rows(args.json, rows)


if __name__ == '__main__':
    main()
