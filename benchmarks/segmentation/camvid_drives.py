# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""CamVid, drive by drive: cascades with thresholds from one half of a split's frames, judged on the other.

Two pairs of members: small and large of the config, and a self-cascade of two that are nearer in quality, large at half
its resolution and at its full one. Cells are strips, squares or whole images, with and without a fallback on
the whole image. Frames resemble their neighbours, so halves are made of blocks of consecutive frames of a drive, and
every frame is judged by thresholds from the half that it is not in; intervals come from drawing blocks again.

The first run fills the stores (every member on every image, and on a crop of every cell), which takes most of the time
and goes on where it was stopped.

Example: benchmarks/segmentation/camvid_drives.py configs/camvid/cascade.py --work-dir work_dirs/camvid/drives \
    --json benchmarks/results/camvid_drives.json
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from numpy.typing import NDArray

from mmcascade.calibration.fit.calibrate import fit, share_curve
from mmcascade.calibration.fit.evidence import Evidence
from mmcascade.calibration.fit.one_sided.shares import Shares
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.replay.routes import Routes, route
from mmcascade.calibration.stores.cell_records import CellRecords
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.calibration.stores.identity import CascadeIdentity
from mmcascade.comparison.segmentation.cell_shape import CellShape
from mmcascade.comparison.stores import own_store
from mmcascade.engine.runs.prepare_store import of_kind
from mmcascade.evaluation.curves.intervals.miou_bootstrap import miou, miou_difference, miou_interval
from mmcascade.routing import WindowPolicy

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, print_table, write_rows

SPLITS = {'val': 'val_dataloader', 'test': 'test_dataloader'}
CELLS = ('120x480', '120', 'image')
#: A cascade of all that is stored: a first stage of each pair, and the member that both end with.
FIRST = {'small > large': 0, 'half > large': 1}
LAST = 2
#: Mean costs that are asked for, as shares of that of the larger member.
BUDGETS = {f'macs {share:g}': share for share in (0.65, 0.75, 0.95)}
LESS = 0.002  # points of mIoU below the larger member that a cascade may lose, as a fraction


@dataclass(frozen=True)
class Judged:
    """What a system does with images, each seen once.

    Attributes:
        intersect, union: pixels per image and class.
        cost: multiply-adds per image.
        went: share of each image that ran the last stage.
    """

    intersect: NDArray[np.float64]
    union: NDArray[np.float64]
    cost: NDArray[np.float64]
    went: NDArray[np.float64]

    @classmethod
    def of(cls, routes: Routes) -> Judged:
        """What a route says."""
        assert routes.units.label is not None
        right, predicted = np.split(routes.sums, 2, axis=1)
        return cls(right, predicted + routes.units.label - right, routes.cost, routes.ran[-1])

    def select(self, images: NDArray[np.int64]) -> Judged:
        """Some of the images, in this order."""
        return Judged(*(values[images] for values in vars(self).values()))

    @staticmethod
    def join(parts: Sequence[Judged]) -> Judged:
        """The images of all, one part after the other."""
        return Judged(*(np.concatenate(column) for column in zip(*(vars(x).values() for x in parts), strict=True)))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('config', help='config of a CascadeSegmentor of two stages with trained members')
    parser.add_argument('--work-dir', required=True, help='where the stores are kept')
    parser.add_argument('--block', type=int, default=10, help='consecutive frames per block (default 10)')
    parser.add_argument('--repeats', type=int, default=1000, help='draws of blocks for an interval (default 1000)')
    parser.add_argument('--images', type=int, help='only so many images of each split, to try it')
    parser.add_argument('--stores', nargs='+', metavar='SPLIT-CELLS', help='only these, such as test-120 (default all)')
    parser.add_argument('--fill', action='store_true', help='only fill them')
    args = parser.parse_args()
    cfg = Config.fromfile(args.config)
    init_default_scope('mmseg')
    rows: list[dict[str, Any]] = []
    for split, loader in SPLITS.items():
        if args.images is not None:
            cfg[loader].dataset.indices = args.images
        blocks = blocks_of(cfg, loader, args.block)
        for cells in CELLS:
            folder = Path(args.work_dir) / f'{split}-{cells}'
            if args.stores is not None and folder.name not in args.stores:
                continue
            store, identity = of_kind(CellStore, own_store(config_of(cfg, cells), folder, loader, print))
            if args.fill:
                continue
            for row in judge(store, identity, blocks, folder, args.repeats):
                rows.append(dict(split=split, cells=cells) | row)
    if args.fill:
        return
    shown = ('split', 'cells', 'pair', 'fallback', 'target', 'drive', 'miou', 'minus_large', 'of_large', 'worst')
    print_table([{key: row[key] for key in shown} for row in rows])
    if args.json:
        write_rows(args.json, [dict(row, block=args.block) for row in rows])


def config_of(cfg: Config, cells: str) -> Config:
    """The config with a stage for each first member, and the last one on cells with a fallback."""
    changed = copy.deepcopy(cfg)
    first, second = cfg.model.stages
    half = dict(second, on='image', scale=0.5 * second.get('scale', 1))
    changed.model.stages = [first, half, dict(second, fallback='image')]
    changed.model.fusion = 'replace'
    whole = cells == 'image'
    changed.model.grid = dict(cell=None) if whole else dict(cfg.model.grid, cell=CellShape.parse(cells).shape)
    return changed


def blocks_of(cfg: Config, loader: str, size: int) -> NDArray[np.str_]:
    """Per image the name of its drive and the number of its block within it, such as '0001TP:3'."""
    dataset = DATASETS.build(copy.deepcopy(cfg[loader].dataset))
    drives = [str(dataset.get_data_info(index).get('drive', '')) for index in range(len(dataset))]
    seen: dict[str, int] = {}
    names = []
    for drive in drives:
        names.append(f'{drive}:{seen.get(drive, 0) // size}')
        seen[drive] = seen.get(drive, 0) + 1
    return np.array(names)


def judge(
    store: CellStore, identity: CascadeIdentity, blocks: NDArray[np.str_], folder: Path, repeats: int
) -> Iterator[dict[str, Any]]:
    """The rows of one split and one size of cells."""
    large = last_member(store)
    yield from rows_of(dict(pair='large', fallback=False, target='alone'), large, large, blocks, repeats)
    for pair, first in FIRST.items():
        for fallback in (False, True) if store.header.whole else (False,):  # an image that is one cell has none
            evidence = pair_of(store, identity, first, fallback, folder)
            about = dict(pair=pair, fallback=fallback)
            for target, window in {'none goes on': None, 'all go on': (None, None)}.items():
                found = Judged.of(route(evidence.exits, WindowPolicy([window]), evidence.units))
                yield from rows_of(about | dict(target=target), found, large, blocks, repeats)
            for target, found, more in cascades(evidence, large, blocks):
                yield from rows_of(about | dict(target=target) | more, found, large, blocks, repeats)


def last_member(store: CellStore) -> Judged:
    """The last member on whole images."""
    cells, output = store.cells, store.header.whole.get(LAST, LAST)
    first = np.unique(cells.image, return_index=True)[1]
    right, predicted, label = (
        np.add.reduceat(values, first, dtype=np.float64)
        for values in (cells.intersect[:, output], cells.predicted[:, output], cells.label)
    )
    return Judged(right, predicted + label - right, cells.macs[first, output], np.ones(len(first)))


def pair_of(store: CellStore, identity: CascadeIdentity, first: int, fallback: bool, folder: Path) -> Evidence:
    """The cascade of one of the first members and the last one, from the store of all."""
    header, cells = store.header, store.cells
    outputs = [first, LAST, *([header.whole[LAST]] if fallback else [])]
    last = identity.stages[LAST] if fallback else replace(identity.stages[LAST], fallback=None)
    part = replace(
        header,
        identity=replace(header.identity, stages=(identity.stages[first], last)),
        stages=[header.stages[first], header.stages[LAST]],
        on=[header.on[first], header.on[LAST]],
        temperatures=(),
    )
    with TemporaryDirectory(dir=folder.parent) as temporary:
        own = CellStore.create(Path(temporary) / 'store', part)
        for image in range(header.images):
            rows = cells.select(np.flatnonzero(cells.image == image))
            macs = rows.macs[:, outputs]
            if first:  # no first stage there, so every cell was told the sum
                macs[:, 0] *= rows.area / rows.area.sum()
            records = CellRecords(
                rows.cell,
                rows.area,
                rows.label,
                rows.confidence[:, outputs],
                rows.intersect[:, outputs],
                rows.predicted[:, outputs],
                macs,
            )
            own.append(image, records)
        return Evidence.of_cells(own, part.identity.cascade)


def cascades(
    evidence: Evidence, large: Judged, blocks: NDArray[np.str_]
) -> Iterator[tuple[str, Judged, dict[str, Any]]]:
    """Calibrated cascades, every image judged by thresholds from the other half; and the best by hindsight.

    Yields:
        The target, what the cascade does, and its thresholds and shares.
    """
    halves = [np.flatnonzero(parity_of(blocks) == parity) for parity in (0, 1)]
    for target in ('large - 0.2', *BUDGETS):
        parts, windows, reached = [], [], True
        for known, unseen in zip(halves, halves[::-1], strict=True):
            if target in BUDGETS:
                wanted = f'macs={BUDGETS[target] * large.cost[known].mean():.9g}'
            else:
                wanted = f'miou={mean_iou(large.select(known)) - LESS:.9f}'
            half = evidence.only(known)
            try:
                found = fit(half, CalibrationRequest(wanted))
            except ValueError:  # not within reach on this half: the best that it can do
                reached, found = False, fit(half, CalibrationRequest('macs=1e18'))
            other = evidence.only(unseen)
            parts.append(Judged.of(route(other.exits, found.policy(), other.units)))
            windows.append(found.windows[0])
        judged = Judged.join(parts).select(np.argsort(np.concatenate(halves[::-1])))
        yield target, judged, dict(windows=windows, reached=reached)
    quality, macs = share_curve(evidence, steps=400)
    enough = np.flatnonzero(quality >= mean_iou(large) - LESS)
    if len(enough):
        share = enough[np.argmin(macs[enough])] / 400
        policy = WindowPolicy(Shares(evidence.exits, evidence.units).windows(share))
        judged = Judged.of(route(evidence.exits, policy, evidence.units))
        yield 'large - 0.2 by hindsight', judged, dict(windows=policy.rules, reached=True)


def parity_of(blocks: NDArray[np.str_]) -> NDArray[np.int64]:
    """In which half each image lies: every second block of a drive is in the other."""
    return np.array([int(name.rpartition(':')[2]) % 2 for name in blocks])


def mean_iou(judged: Judged) -> float:
    """Of all images, a fraction."""
    return miou(judged.intersect, judged.union)


def rows_of(
    about: Mapping[str, Any], found: Judged, large: Judged, blocks: NDArray[np.str_], repeats: int
) -> Iterator[dict[str, Any]]:
    """A row for all images, and one for each drive where there are several."""
    drives = np.array([name.partition(':')[0] for name in blocks])
    for drive in ('all', *(sorted(set(drives)) if len(set(drives)) > 1 else ())):
        images = np.arange(len(blocks)) if drive == 'all' else np.flatnonzero(drives == drive)
        own, other = found.select(images), large.select(images)
        areas, theirs = _per_block(own, blocks[images]), _per_block(other, blocks[images])
        difference = asdict(miou_difference(areas, theirs, repeats=repeats))
        yield (
            dict(windows=None, reached=True)
            | dict(about)
            | dict(
                drive=drive,
                images=len(images),
                miou=100 * mean_iou(own),
                interval=[100 * end for end in asdict(miou_interval(*areas, repeats=repeats)).values()][1:3],
                minus_large=100 * difference['estimate'],
                minus_interval=[100 * difference[end] for end in ('low', 'high')],
                gmacs=float(own.cost.mean()) / 1e9,
                of_large=float(own.cost.mean() / other.cost.mean()),
                worst=float((own.cost / other.cost).max()),
                went=100 * float(own.went.mean()),
            )
        )


def _per_block(judged: Judged, blocks: NDArray[np.str_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Areas of whole blocks, which are drawn again as one."""
    names, place = np.unique(blocks, return_inverse=True)
    sums = np.zeros((2, len(names), judged.union.shape[1]))
    for total, areas in zip(sums, (judged.intersect, judged.union), strict=True):
        np.add.at(total, place, areas)
    return sums[0], sums[1]


if __name__ == '__main__':
    main()
