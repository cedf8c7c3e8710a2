# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The headline claims of both papers, per data set, on real networks.

    python benchmarks/headline/headline.py --json benchmarks/results/headline.json

Scores are stored once (work_dirs/headline), and everything else is replayed from them: how much of the ensemble's gain
a cascade keeps and at what cost, window against threshold against random deferral of equal shares, and what deployed
and certified accept thresholds do on unseen images. Each figure has a 95 % interval over images (one calibration, the
test images drawn again, the same for all systems) and over calibrations (the images of both splits shuffled and divided
anew). At last members, ensemble and cascade are timed on images in memory, which wants a quiet machine and one thread
(OMP_NUM_THREADS=1). The file is written after each cascade, and what it holds already is not measured again.

`make demo`, `mmcascade data cifar10`, `mmcascade data imagenet_subset` and `mmcascade convert_lite_weights
work_dirs/efficientnet-lite` bring the data sets.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from headline_figures import Figures, once, over_draws, over_images
from headline_file import HeadlineFile
from headline_systems import Pool, Setting, decide
from headline_times import SYSTEMS, Timing, times_of
from mmengine.config import Config

from mmcascade._system.memory import keep_freed_memory
from mmcascade._system.quiet import quiet_libraries
from mmcascade.calibration.fit.request import TEMPERATURES
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.comparison.stores import own_store

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, print_table

#: Takes a second to fit, so that it is not fitted anew in every draw.
SLOW = ('scikit-fallback',)
SHOWN = (
    'accuracy',
    'coverage',
    'kept_coverage',
    'kept_augrc',
    'kept_accuracy',
    'times_first',
    'deployed_coverage',
    'deployed_risk',
)
#: Costs need no interval.
EXACT = ('macs', 'times_first', 'times_last')


@dataclass(frozen=True)
class DataSet:
    """Members on photographs.

    Attributes:
        config: whose stages are stored.
        stores: folder with ``calibration_scores`` and ``test_scores``.
        chains: names of members in order, per cascade.
        needs: what brings the data.
        timed: config that knows all members, where ``config`` does not.
    """

    config: str
    stores: str
    chains: Sequence[Sequence[str]]
    needs: str
    timed: str | None = None


CIFAR_CHAINS = (
    ('resnet44', 'resnet56'),
    ('resnet32', 'resnet44'),
    ('resnet20', 'resnet32'),
    ('resnet20', 'resnet56'),
    ('resnet20', 'resnet32', 'resnet44', 'resnet56'),
)
DATA = {
    'quickstart': DataSet(
        'configs/quickstart/cascade.py',
        'work_dirs/quickstart',
        (('small0', 'small1'), ('small0', 'large')),
        'make demo',
        timed='configs/quickstart/committee.py',
    ),
    'cifar10': DataSet(
        'configs/cifar10/family.py', 'work_dirs/headline/cifar10', CIFAR_CHAINS, 'mmcascade data cifar10'
    ),
    'imagenet_subset': DataSet(
        'configs/imagenet_subset/lites.py',
        'work_dirs/headline/imagenet_subset',
        (('lite0', 'lite1'), ('lite0', 'lite2'), ('lite1', 'lite2'), ('lite0', 'lite1', 'lite2')),
        'mmcascade data imagenet_subset, and mmcascade convert_lite_weights work_dirs/efficientnet-lite',
    ),
}


def stores_of(name: str, options: dict[str, Any]) -> list[ScoreStore]:
    """The scores of a data set's two splits, filled where they are not there."""
    data = DATA[name]
    folders = [Path(data.stores, f'{split}_scores') for split in ('calibration', 'test')]
    if name == 'quickstart':  # with the larger member, which its config does not name
        if not all(ScoreStore.exists(folder) for folder in folders):
            raise SystemExit(f'error: there are no scores in {data.stores}; run: {data.needs}')
        return [ScoreStore.open(folder) for folder in folders]
    cfg = Config.fromfile(data.config)
    cfg.merge_from_dict(options)
    try:
        for folder, split in zip(folders, ('val_dataloader', 'test_dataloader'), strict=True):
            print(f'{name}: scores of {split}')
            own_store(copy.deepcopy(cfg), folder, split, print)
    except FileNotFoundError as error:
        raise SystemExit(f'error: {error}; run: {data.needs}') from None
    return [ScoreStore.open(folder) for folder in folders]


def measure(pool: Pool, setting: Setting, repeats: int, draws: int) -> dict[str, Figures]:
    """Per system, and for differences between systems, all figures with their intervals."""
    known, unseen = np.arange(pool.known), np.arange(pool.known, len(pool))
    figures = over_images(decide(pool, known, unseen, setting), setting.risk, repeats)
    rng, found = np.random.default_rng(0), []
    for seed in range(draws):
        order = rng.permutation(len(pool))
        parts = np.sort(order[: pool.known]), np.sort(order[pool.known :])
        systems = decide(pool, *parts, setting, seed, without=SLOW)
        found.append(once(systems, setting.risk))
    drawn = over_draws(found) if found else {}
    return {name: {**own, **drawn.get(name, {})} for name, own in figures.items()}


def about(name: str, pool: Pool, setting: Setting) -> dict[str, Any]:
    """Which cascade, judged on what and in which setting."""
    return dict(
        data=name,
        chain=' > '.join(pool.chain),
        calibration_images=pool.known,
        test_images=len(pool) - pool.known,
        target=100 * setting.risk,
        delta=setting.delta,
        temperatures=setting.temperatures,
    )


def rows_of(cascade: dict[str, Any], figures: dict[str, Figures]) -> list[dict[str, Any]]:
    """One row per system, and a last one for differences between systems.

    Each figure stands beside the ends of its interval over images (``_images``), and beside its mean over calibrations
    with the ends of theirs (``_draws``).
    """
    rows = []
    for system, own in figures.items():
        row: dict[str, Any] = dict(cascade, system=system)
        for key in (key for key in own if f'{key}_images_low' in own and not key.startswith('gain_')):
            row[key] = _number(own[key])
            if key not in EXACT:
                row[f'{key}_images'] = [_number(own[f'{key}_images_{end}']) for end in ('low', 'high')]
            if f'{key}_draws' in own:
                ends = [own[f'{key}_draws_{end}'] for end in ('low', 'high')]
                row[f'{key}_draws'] = [_number(value) for value in (own[f'{key}_draws'], *ends)]
        rows.append(row)
    return rows


def _number(value: float) -> float | None:
    return float(f'{value:.4g}') if np.isfinite(value) else None


def show(rows: Sequence[dict[str, Any]]) -> None:
    """One table per cascade, with intervals over images."""
    print(f'\n{rows[0]["data"]}, {rows[0]["chain"]}: {rows[0]["test_images"]} test images')
    print_table([{key: _with_ends(row, key) for key in ('system', *SHOWN)} for row in rows[:-1]])
    for key in (key for key in rows[-1] if f'{key}_images' in rows[-1]):
        print(f'{key.replace("_", " ")}: {_with_ends(rows[-1], key)}')


def _with_ends(row: dict[str, Any], key: str) -> str | float | None:
    ends = row.get(f'{key}_images')
    return row[key] if ends is None or None in (row[key], *ends) else f'{row[key]} ({ends[0]} to {ends[1]})'


def show_times(row: dict[str, Any]) -> None:
    """Milliseconds an image, from the fastest to the slowest round."""
    print(f'\n{row["data"]}, {row["chain"]}: milliseconds an image, {row["images"]} images in memory')
    members = {f'{name} alone': ms for name, ms in zip(row['chain'].split(' > '), row['members'], strict=True)}
    systems = members | {name: row[key] for name, key in SYSTEMS.items()}
    print_table([dict(system=name, ms=ms, low=low, high=high) for name, (ms, low, high) in systems.items()])


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('--data', nargs='+', choices=list(DATA), default=list(DATA), help='default: all')
    parser.add_argument('--stores', nargs=2, metavar='STORE', help='of your own: to calibrate on, and to judge on')
    parser.add_argument('--chain', nargs='+', help='of members, with --stores')
    parser.add_argument('--risk', type=float, default=0.05)
    parser.add_argument('--delta', type=float, default=0.1)
    parser.add_argument('--half-width', type=float, default=0.10)
    parser.add_argument('--temperatures', choices=TEMPERATURES, default=Setting.temperatures)
    parser.add_argument('--repeats', type=int, default=500, help='draws of images')
    parser.add_argument('--draws', type=int, default=50, help='of calibrations')
    parser.add_argument('--timed', type=int, default=Timing.images, metavar='IMAGES', help='0: measure no time')
    parser.add_argument('--rounds', type=int, default=Timing.repeats, help='of timing')
    parser.add_argument('--again', action='store_true', help='measure anew what the file holds')
    parser.add_argument('--cfg-options', nargs='*', default=[], help='KEY=VALUE changes of the configs')
    args = parser.parse_args()
    quiet_libraries()
    keep_freed_memory()  # or else what ran before decides how fast a batch size is
    setting = Setting(args.risk, args.delta, args.half_width, args.temperatures)
    timing = Timing(0 if args.stores else args.timed, args.rounds)  # stores hold scores, but no network to time
    options = dict(option.split('=', 1) for option in args.cfg_options)
    if args.stores:
        jobs = [('stores', Pool([ScoreStore.open(folder) for folder in args.stores], args.chain))]
    else:
        filled = {name: stores_of(name, options) for name in args.data}
        jobs = [(name, Pool(filled[name], chain)) for name in args.data for chain in DATA[name].chains]
    file = HeadlineFile.open(args.json)
    for name, pool in jobs:
        cascade = about(name, pool, setting)
        rows = [] if args.again else file.judged(cascade)
        if not rows:
            rows = rows_of(cascade, measure(pool, setting, args.repeats, args.draws))
            file.add_judged(rows)
        show(rows)
    for name, pool in jobs if timing.images else ():
        cascade = about(name, pool, setting)
        row = None if args.again else file.timed(cascade)
        if row is None:
            config = DATA[name].timed or DATA[name].config
            row = dict(data=name, chain=cascade['chain']) | times_of(config, pool, setting, timing)
            file.add_timed(row)
        show_times(row)


if __name__ == '__main__':
    main()
