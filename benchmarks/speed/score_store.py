# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Write a large score store in batches, read it back, replay a cascade over it, and watch the memory.

    OMP_NUM_THREADS=1 python benchmarks/speed/score_store.py --json score_store.json

Scores lie in memory-mapped files, which the system may drop from memory at any time; what counts is the anonymous
memory (RssAnon of /proc/self/status, so Linux only), which it can't. The column is the highest value seen in a step.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmcascade.calibration.fit.calibrate import calibrate
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.stores.data_identity import DataIdentity
from mmcascade.calibration.stores.header import ScoreHeader
from mmcascade.calibration.stores.identity import CascadeIdentity, StageIdentity
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.calibration.stores.store_identity import StoreIdentity
from mmcascade.routing import StageOutput

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, report


def anonymous_bytes() -> int:
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith('RssAnon:'):
            return int(line.split()[1]) * 1024
    raise RuntimeError('this system does not report RssAnon')


def watched(name: str, step: Callable[[], Any]) -> dict[str, Any]:
    """Run a step; its seconds and the highest anonymous memory meanwhile."""
    peak, done = anonymous_bytes(), threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, anonymous_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    try:
        step()
    finally:
        seconds = time.perf_counter() - start
        done.set()
        watcher.join()
    return dict(name=name, seconds=seconds, anonymous_mib=max(peak, anonymous_bytes()) / 2**20)


def measure(units: int, classes: int, stages: int, batch: int, folder: Path) -> list[dict[str, Any]]:
    identity = CascadeIdentity(tuple(StageIdentity(f'm{k}', 0, '') for k in range(stages)), 'max_prob', 'prob')

    def write() -> None:
        generator = torch.Generator().manual_seed(0)
        stored = StoreIdentity(identity.stages, 'float32', DataIdentity(units, '0'), '0')
        header = ScoreHeader(identity=stored, units=units, classes=classes, kinds=['logits'] * stages)
        store = ScoreStore.create(folder, header)
        for start in range(0, units, batch):
            n = min(batch, units - start)
            labels = torch.randint(classes, (n,), generator=generator)
            outputs = []
            for stage in range(stages):
                logits = torch.randn(n, classes, generator=generator)
                logits[torch.arange(n), labels] += 3.0 + stage
                outputs.append(StageOutput(logits=logits, macs=1.0 + stage))
            store.write(outputs, labels.numpy())

    def read() -> None:
        for scores in ScoreStore.open(folder).scores:
            for start in range(0, units, batch):
                np.add.reduce(scores[start : start + batch], axis=None)

    def fit(**options: Any) -> Callable[[], Any]:
        return lambda: calibrate(ScoreStore.open(folder), identity, CalibrationRequest('coverage=0.7', **options))

    return [
        dict(name='before', seconds=0.0, anonymous_mib=anonymous_bytes() / 2**20),
        watched('write', write),
        watched('read', read),
        watched('fit windows', fit()),
        watched('fit temperatures, windows and maps', fit(temperatures='fit', maps='isotonic')),
    ]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('--units', type=int, default=50_000)
    parser.add_argument('--classes', type=int, default=1000)
    parser.add_argument('--stages', type=int, default=4)
    parser.add_argument('--batch', type=int, default=64)
    parser.add_argument('--folder', help='where to put the store; default a temporary folder')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        rows = measure(args.units, args.classes, args.stages, args.batch, Path(folder) / 'store')
    report(rows, args.json)


if __name__ == '__main__':
    main()
