# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Time how many settings of stored segmentation cascades a search evaluates per second, on one core.

    python benchmarks/search/cell_search_speed.py --images 500 --json cell_search_speed.json

Every image has 8 cells, as 1024 x 2048 pixels in cells of 512, with 19 classes. A setting is one threshold or one
window per gap, and gets its exact mIoU and mean cost. Every figure includes sorting the scores and building the tables.
The last column is the time of one setting by replay, with the policy that routes.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mmcascade.calibration.fit.one_sided.shares import Shares
from mmcascade.calibration.grid.chain_search import ChainSearch
from mmcascade.calibration.grid.plan import Plan
from mmcascade.calibration.replay.quality import MeanIoU
from mmcascade.calibration.replay.stored_stages import StoredCells
from mmcascade.calibration.stores.cell_records import CellRecords, stored_subsets
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.calibration.stores.data_identity import DataIdentity
from mmcascade.calibration.stores.header import CellHeader
from mmcascade.calibration.stores.identity import StageIdentity
from mmcascade.calibration.stores.store_identity import StoreIdentity
from mmcascade.routing import WindowPolicy

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, best_of, report

CELLS, CLASSES, STAGES, AREA = 8, 19, 4, 512 * 512


def make_store(folder: str, images: int, seed: int = 0) -> CellStore:
    """Cells whose later stages are right more often."""
    rng = np.random.default_rng(seed)
    subsets, on = stored_subsets(STAGES, 'prob'), ['image', *['cell'] * (STAGES - 1)]
    names = [f'stage{k}' for k in range(STAGES)]
    members = tuple(StageIdentity(name, 0, '') for name in names)
    header = CellHeader(
        identity=StoreIdentity(members, 'float32', DataIdentity(images, '0'), '0', 'max_prob', 'prob'),
        images=images,
        classes=CLASSES,
        stages=names,
        on=on,
        fusion='prob',
        confidence='max_prob',
    )
    store = CellStore.create(folder, header)
    for image in range(images):
        label = np.stack([rng.multinomial(AREA, rng.dirichlet(np.full(CLASSES, 0.3))) for _ in range(CELLS)])
        ease = rng.uniform(0.3, 1.0, (CELLS, 1))
        right = np.stack([rng.binomial(label, ease ** (1 / len(subset))) for subset in subsets], 1)
        wrong = label[:, None] - right
        store.append(
            image,
            CellRecords(
                np.arange(CELLS),
                np.full(CELLS, AREA),
                label.astype(np.int32),
                (ease * rng.uniform(0.7, 1.0, (CELLS, len(subsets)))).astype(np.float32),
                right.astype(np.int32),
                (right + np.roll(wrong, 1, 2)).astype(np.int32),
                np.tile(np.arange(1.0, STAGES + 1), (CELLS, 1)),
            ),
        )
    return store


def thresholds(store: CellStore, chain: tuple[int, ...]) -> int:
    """Every share of cells that goes on; returns how many."""
    source = StoredCells(store)
    shares = Shares(source.along(chain), source.units)
    return len(shares.figures(np.arange(len(source.units) + 1) / len(source.units))[0])


def windows(store: CellStore, chain: tuple[int, ...], parts: int, max_cells: int | None = None) -> int:
    """The front over all windows between cuts into so many parts; returns how many windows."""
    source, plan = StoredCells(store), Plan(MeanIoU(), max_cells=max_cells)
    search = ChainSearch(chain, source.along(chain), source.units, plan, parts)
    search.coarse(1)
    return search.evaluated


def _route(store: CellStore, chain: tuple[int, ...], policy: WindowPolicy) -> Any:
    return StoredCells(store).route(chain, policy)


def measure(images: int, repeats: int) -> list[dict[str, Any]]:
    """One row per kind of evaluation."""
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(folder, images)
        rows = []
        for name, length, call in (
            ('thresholds', 2, lambda: thresholds(store, (0, 1))),
            ('windows, 2 stages', 2, lambda: windows(store, (0, 1), 256)),
            ('windows, 3 stages', 3, lambda: windows(store, (0, 1, 2), 48)),
            ('windows, 4 stages', 4, lambda: windows(store, (0, 1, 2, 3), 14)),
            ('windows, 3 stages, at most 3 cells', 3, lambda: windows(store, (0, 1, 2), 48, 3)),
        ):
            settings, seconds = best_of(call, repeats)
            policy = WindowPolicy([(0.3, 0.6)] * (length - 1))
            replayed = best_of(partial(_route, store, tuple(range(length)), policy), repeats)[1]
            rows.append(
                dict(
                    name=name,
                    cells=len(store.cells),
                    classes=CLASSES,
                    settings=settings,
                    seconds=seconds,
                    settings_per_s=settings / seconds,
                    replay_seconds_per_setting=replayed,
                )
            )
    return rows


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('--images', type=int, default=500)
    parser.add_argument('--repeats', type=int, default=3, help='the best of so many runs counts')
    args = parser.parse_args()
    rows = measure(args.images, args.repeats)
    report(rows, args.json)


if __name__ == '__main__':
    main()
