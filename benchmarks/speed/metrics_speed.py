# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Time every summary of mmcascade.evaluation.curves against one numpy.sort of the same scores, beside other libraries.

    pip install -r requirements/benchmark.txt
    python benchmarks/speed/metrics_speed.py --json benchmarks/results/metrics_speed.json
    python docs/update_tables.py

torch-uncertainty and scikit-learn get what they take: probabilities of two classes, or scores and labels. The memory
column is the highest extra memory during the call, in bytes per unit. A library that is not installed leaves its cells
empty.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mmcascade.evaluation import curves

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, report

Scores = Callable[[np.random.Generator, int], np.ndarray]

SCORES: dict[str, Scores] = {
    'probabilities': lambda rng, n: 0.5 + rng.random(n) / 2,
    'logits': lambda rng, n: 5 * rng.standard_normal(n),
    'float32': lambda rng, n: rng.random(n, dtype=np.float32).astype(np.float64),
    '100 levels': lambda rng, n: rng.integers(0, 100, n) / 100,
}

#: What others are given: the confidence of a prediction is the larger of two probabilities.
FOR_OTHERS = 'probabilities'


@dataclass(frozen=True)
class Units:
    """Scores ``(n,)`` and flags ``(n,)``: wrong predictions, units out of distribution."""

    confidence: np.ndarray
    error: np.ndarray
    ood: np.ndarray

    @classmethod
    def draw(cls, kind: str, size: int, seed: int = 0) -> Units:
        rng = np.random.default_rng(seed)
        return cls(SCORES[kind](rng, size), rng.random(size) < 0.3, rng.random(size) < 0.4)


Summary = Callable[[Units], float]

SUMMARIES: dict[str, Summary] = {
    'aurc': lambda u: curves.aurc(u.confidence, u.error),
    'augrc': lambda u: curves.augrc(u.confidence, u.error),
    'e_aurc': lambda u: curves.e_aurc(u.confidence, u.error),
    'auroc': lambda u: curves.auroc(u.confidence, ~u.error),
    'aupr': lambda u: curves.aupr(u.confidence, ~u.error),
    'coverage_at_risk': lambda u: curves.coverage_at_risk(u.confidence, u.error, 0.05),
    'risk_at_coverage': lambda u: curves.risk_at_coverage(u.confidence, u.error, 0.8),
    'fpr_at_tpr': lambda u: curves.fpr_at_tpr(u.confidence, ~u.ood, 0.95),
    'scod_aurc': lambda u: curves.scod_aurc(u.confidence, u.error, u.ood),
    'scod_augrc': lambda u: curves.scod_augrc(u.confidence, u.error, u.ood),
    'scod_risk_at_coverage': lambda u: curves.scod_risk_at_coverage(u.confidence, u.error, u.ood, 0.8),
}


def torch_uncertainty(metric: str) -> Summary:
    """A metric of torch-uncertainty that takes probabilities ``(n, 2)`` and labels."""

    def call(units: Units) -> float:
        import torch
        from torch_uncertainty.metrics import classification

        found = getattr(classification, metric)()
        second = torch.from_numpy(units.confidence)
        # Class 1 is always predicted, and right unless the unit is an error.
        found.update(torch.stack([1 - second, second], 1), torch.from_numpy(~units.error).long())
        return float(found.compute())

    return call


def torch_uncertainty_fpr(units: Units) -> float:
    import torch
    from torch_uncertainty.metrics.classification import FPR95

    found = FPR95(pos_label=1)
    found.update(torch.from_numpy(units.confidence), torch.from_numpy(~units.ood).long())
    return float(found.compute())


def scikit_learn(metric: str) -> Summary:
    def call(units: Units) -> float:
        from sklearn import metrics

        return float(getattr(metrics, metric)(~units.error, units.confidence))

    return call


#: Per library: its module, and its summaries by our name for them.
OTHERS: dict[str, tuple[str, dict[str, Summary]]] = {
    'torch-uncertainty': (
        'torch_uncertainty',
        {'aurc': torch_uncertainty('AURC'), 'augrc': torch_uncertainty('AUGRC'), 'fpr_at_tpr': torch_uncertainty_fpr},
    ),
    'scikit-learn': (
        'sklearn',
        {'auroc': scikit_learn('roc_auc_score'), 'aupr': scikit_learn('average_precision_score')},
    ),
}

#: Summaries that others define as we do; their areas are other sums over the ranks.
SAME_DEFINITION = ('auroc', 'aupr', 'fpr_at_tpr')


def seconds_of(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def peak_bytes(call: Callable[[], Any]) -> int:
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def peak_bytes_elsewhere(units: Units, library: str, name: str) -> int:
    """The same for any allocator, on Linux: how far a process grows that holds little but the inputs."""
    with tempfile.TemporaryDirectory() as folder:
        for field, values in vars(units).items():
            np.save(f'{folder}/{field}.npy', values)
        with multiprocessing.get_context('spawn').Pool(1) as pool:
            return pool.apply(_growth, (folder, library, name))


def _growth(folder: str, library: str, name: str) -> int:
    summary = OTHERS[library][1][name]
    summary(Units.draw(FOR_OTHERS, 100))  # imports
    units = Units(*(np.load(f'{folder}/{field}.npy') for field in ('confidence', 'error', 'ood')))
    before = _most_memory()
    summary(units)
    return _most_memory() - before


def _most_memory() -> int:
    """The most that this process ever held; getrusage would count the process that started it."""
    (line,) = (line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith('VmHWM'))
    return 1024 * int(line.split()[1])


def measure(size: int, repeats: int) -> list[dict[str, Any]]:
    """One row per kind of scores, library and summary."""
    rows = []
    for kind in SCORES:
        units = Units.draw(kind, size)
        for name, summary in SUMMARIES.items():
            rows.append(
                dict(
                    _timed(units, kind, 'mmcascade', name, summary, repeats),
                    same_value=None,
                    bytes_per_unit=peak_bytes(partial(summary, units)) / size,
                )
            )
        for library, (module, summaries) in OTHERS.items() if kind == FOR_OTHERS else ():
            for name, summary in summaries.items():
                if importlib.util.find_spec(module) is None:
                    rows.append(dict.fromkeys(rows[0]) | dict(scores=kind, library=library, summary=name, size=size))
                    continue
                same = bool(np.isclose(summary(units), SUMMARIES[name](units), rtol=1e-6, atol=0))
                rows.append(
                    dict(
                        _timed(units, kind, library, name, summary, repeats),
                        same_value=same if name in SAME_DEFINITION else None,
                        bytes_per_unit=peak_bytes_elsewhere(units, library, name) / size,
                    )
                )
    return rows


def _timed(units: Units, kind: str, library: str, name: str, summary: Summary, repeats: int) -> dict[str, Any]:
    """Sort and summary in turns; the shortest of the runs counts, as what else the machine does can only add time."""
    pairs = [
        (seconds_of(lambda: np.sort(units.confidence)), seconds_of(lambda: summary(units))) for _ in range(repeats)
    ]
    sort, seconds = (min(column) for column in zip(*pairs, strict=True))
    return dict(
        scores=kind,
        library=library,
        summary=name,
        size=units.confidence.size,
        repeats=repeats,
        seconds=seconds,
        slowest=max(own for _, own in pairs),
        sort_seconds=sort,
        times_sort=seconds / sort,
        load=round(os.getloadavg()[0], 2),
    )


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('--units', type=lambda text: int(float(text)), default=10_000_000, help='default 1e7')
    parser.add_argument('--repeats', type=int, default=5, help='the shortest of so many runs counts')
    args = parser.parse_args()
    rows = measure(args.units, args.repeats)
    report(rows, args.json)


if __name__ == '__main__':
    main()
