# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Measured time of the cascades of headline.py, beside their members and ensembles; on a quiet machine.

    OMP_NUM_THREADS=1 python benchmarks/headline/headline_time.py --json benchmarks/results/headline_time.json

Windows are placed on the stored calibration scores. Members run on images in memory, each at the best of a few batch
sizes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from headline import DATA, stores_of
from headline_systems import Pool, Setting
from mmengine.config import Config

from mmcascade._system.quiet import quiet_libraries
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.two_sided.windows import fit_windows
from mmcascade.engine.benchmark.benchmark import Benchmark

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, print_table, write_rows

#: Batch sizes that are tried for each member.
SIZES = (4, 16, 64)
#: Configs that know all members of the chains.
CONFIGS = {name: data.config for name, data in DATA.items()} | {'quickstart': 'configs/quickstart/committee.py'}


def config_of(name: str, pool: Pool) -> Config:
    """A chain with its windows, for scores as they are (T = 1)."""
    known = np.arange(pool.known)
    seen = pool.evidence(pool.scaled(known, 'none')).only(known)
    windows = fit_windows(seen.exits, seen.units, CalibrationRequest(Setting().target)).windows
    cfg = Config.fromfile(CONFIGS[name])
    plain = {stage.member: stage for stage in reversed(cfg.model.stages) if not stage.get('flip')}
    members = {member: cfg.model.members[member] for member in pool.chain}
    cfg.model.update(
        members=members,
        stages=[plain[member] for member in pool.chain],
        fusion='prob',
        policy=dict(type='mmcascade.WindowPolicy', windows=windows),
    )
    return cfg


def rows_of(name: str, pool: Pool, images: int, repeats: int, sizes: Sequence[int]) -> list[dict[str, Any]]:
    result = Benchmark(config_of(name, pool), images, sizes=sizes).measure(repeats, single_images=1)
    return [
        dict(
            data=name,
            chain=' > '.join(pool.chain),
            system=system.name,
            ms=1e3 / system.units_per_s['median'],
            lowest=1e3 / system.units_per_s['highest'],
            highest=1e3 / system.units_per_s['lowest'],
            images=result.images,
            repeats=repeats,
            load=max(result.machine['load_before'], result.machine['load_after']),
        )
        for system in result.systems
    ]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('--data', nargs='+', choices=list(DATA), default=list(DATA), help='default: all')
    parser.add_argument('--images', type=int, default=256, help='default: %(default)s')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--quick', action='store_true', help='a few images, once: shows the form, measures nothing')
    args = parser.parse_args()
    quiet_libraries()
    images, repeats, sizes = (16, 1, (8,)) if args.quick else (args.images, args.repeats, SIZES)
    stores = {name: stores_of(name, {}) for name in args.data}
    rows = []
    for name in args.data:
        for chain in DATA[name].chains:
            rows += rows_of(name, Pool(stores[name], chain), images, repeats, sizes)
            if args.json:
                write_rows(args.json, rows)
    print_table(rows)


if __name__ == '__main__':
    main()
