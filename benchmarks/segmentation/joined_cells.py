# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What it saves to join neighbouring cells that go on into rectangles, so that context is paid once.

For shares of the cells of CamVid that go on, the least confident ones: multiply-adds and mIoU where the larger member
runs on a crop around each of them; on the rectangles that cover them at the lowest cost (the best of all partitions,
which no faster rule can beat); and either with the whole image in their place where that costs no more. The larger
member's labels of a cell then depend on the rectangle around it, so nothing here comes from a store but who goes on.

Run benchmarks/segmentation/camvid_drives.py before: its stores are read.

Example: benchmarks/segmentation/joined_cells.py configs/camvid/cascade.py --work-dir work_dirs/camvid/drives \
    --json benchmarks/results/joined_cells.json
"""

from __future__ import annotations

import functools
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from camvid_drives import LAST, SPLITS, config_of, last_member, mean_iou
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from numpy.typing import NDArray

from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.models.cascade_segmentor import CascadeSegmentor
from mmcascade.models.cells.cover import Rectangle, cells_in, cover
from mmcascade.models.cells.grid import Box, Grid, Size
from mmcascade.models.stages.segmentor_stage import SegmentorStage
from mmcascade.registry import MODELS

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, print_table, write_rows

SHARES = (0.2, 0.4, 0.6)
CELLS = ('120x480', '120')
IGNORED = 255
_CHUNK = 8  # crops at a time


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('config', help='config of a CascadeSegmentor of two stages with trained members')
    parser.add_argument('--work-dir', required=True, help='that of camvid_drives.py')
    parser.add_argument('--images', type=int, help='only so many images of each split, to try it')
    parser.add_argument('--cells', nargs='+', choices=CELLS, default=CELLS, help='default all')
    parser.add_argument('--splits', nargs='+', choices=SPLITS, default=['test'], help='default test')
    args = parser.parse_args()
    cfg = Config.fromfile(args.config)
    init_default_scope('mmseg')
    rows: list[dict[str, Any]] = []
    for split in args.splits:
        loader = SPLITS[split]
        if args.images is not None:
            cfg[loader].dataset.indices = args.images
        for cells in args.cells:
            model: CascadeSegmentor = MODELS.build(config_of(cfg, cells).model)
            store = CellStore.open(Path(args.work_dir) / f'{split}-{cells}')
            for row in Joined(model, DATASETS.build(cfg[loader].dataset), store).rows():
                rows.append(dict(split=split, cells=cells) | row)
    print_table(rows)
    if args.json:
        write_rows(args.json, rows)


class Joined:
    """Cells of one data set, by the first stage of a store and the member of its last one."""

    def __init__(self, model: CascadeSegmentor, dataset: Any, store: CellStore) -> None:
        self.stage: SegmentorStage = model.stages[LAST]
        self.dataset, self.store, self.cells = dataset, store, store.cells
        first = dataset[0]
        self.grid: Grid = model.tile(first['inputs'], first['data_samples']).grid
        if tuple(first['inputs'].shape[-2:]) != self.grid.image:
            raise ValueError('rectangles are cut from images as they were annotated; leave Resize out of the pipeline')
        self.margin, self.classes = model.margin, model.out_channels
        self.large = last_member(store)
        self.whole = float(self.large.cost[0])
        self.crop = float(self.cells.macs[0, LAST])

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for each share and way."""
        scores = np.nan_to_num(self.cells.confidence[:, 0], nan=-np.inf)  # cells of which no pixel counts go on
        for share in SHARES:
            going = scores <= np.quantile(scores, share)
            count = np.bincount(self.cells.image[going], minlength=self.store.images)
            plans = [
                cover(self.cells.cell[going & (self.cells.image == k)].tolist(), self.grid.shape, self.price)
                for k in range(self.store.images)
            ]
            joined = np.array([sum(self.price(rectangle) for rectangle in plan) for plan in plans])
            on_joined = self.run(plans)
            for way, spent, output in (
                ('crops', count * self.crop, self._stored(LAST)),
                ('rectangles', joined, on_joined),
            ):
                cost: NDArray[np.float64] = np.asarray(spent, np.float64)
                yield self._row(share, way, going, cost, output, np.zeros(self.store.images, np.bool_))
                pays = (count > 0) & (cost >= self.whole)
                yield self._row(share, f'{way} or image', going, np.where(pays, self.whole, cost), output, pays)

    @functools.cache  # noqa: B019  # one object lives as long as the program
    def price(self, rectangle: Rectangle) -> float:
        """Multiply-adds of the crop around a rectangle."""
        box = self.crop_box(rectangle)
        return self.stage.counted(torch.empty(1, 3, *box.size, dtype=torch.uint8))

    def crop_box(self, rectangle: Rectangle) -> Box:
        """With the margin around it, moved to lie inside the image as those of cells are."""
        columns = self.grid.shape[1]
        first = self.grid.box(rectangle[0] * columns + rectangle[1])
        last = self.grid.box((rectangle[2] - 1) * columns + rectangle[3] - 1)
        size = [
            min(end - start + 2 * self.margin, whole)
            for start, end, whole in (
                (first.top, last.bottom, self.grid.image[0]),
                (first.left, last.right, self.grid.image[1]),
            )
        ]
        top = min(max(first.top - self.margin, 0), self.grid.image[0] - size[0])
        left = min(max(first.left - self.margin, 0), self.grid.image[1] - size[1])
        return Box(top, left, top + size[0], left + size[1])

    @torch.no_grad()
    def run(self, plans: Sequence[Sequence[Rectangle]]) -> Mapping[tuple[int, int], NDArray[np.int64]]:
        """Pixels of each class that are right and predicted, ``(2, C)``, by image and cell, in batches by shape."""
        by_shape: dict[Size, list[tuple[int, Rectangle]]] = defaultdict(list)
        found: dict[tuple[int, int], NDArray[np.int64]] = {}
        for image, plan in enumerate(plans):
            for rectangle in plan:
                if (output := self._known(rectangle)) is not None:
                    for row, column in cells_in(rectangle):
                        at = image, row * self.grid.shape[1] + column
                        found[at] = self._stored(output)[at]
                    continue
                by_shape[self.crop_box(rectangle).size].append((image, rectangle))
        for work in by_shape.values():
            for start in range(0, len(work), _CHUNK):
                some = work[start : start + _CHUNK]
                items = [self._item(image) for image, _ in some]
                crops = [
                    self.crop_box(rectangle).of(pixels) for (_, rectangle), (pixels, _) in zip(some, items, strict=True)
                ]
                labels = self.stage.forward(torch.stack(crops)).values.argmax(1).numpy()
                for (image, rectangle), (_, truth), own in zip(some, items, labels, strict=True):
                    for cell, counts in self._counted(rectangle, own, truth):
                        found[image, cell] = counts
        return found

    @functools.lru_cache(maxsize=512)  # noqa: B019  # as above
    def _item(self, image: int) -> tuple[torch.Tensor, NDArray[np.int64]]:
        item = self.dataset[image]
        return item['inputs'], item['data_samples'].gt_sem_seg.data[0].numpy()

    def _counted(
        self, rectangle: Rectangle, labels: NDArray[np.int64], truth: NDArray[np.int64]
    ) -> Iterator[tuple[int, NDArray[np.int64]]]:
        crop, columns = self.crop_box(rectangle), self.grid.shape[1]
        for row, column in cells_in(rectangle):
            cell = row * columns + column
            box = self.grid.box(cell)
            inner, real = box.within(crop), truth[box.top : box.bottom, box.left : box.right]
            own = labels[inner.top : inner.bottom, inner.left : inner.right]
            counts = real != IGNORED
            yield (
                cell,
                np.stack([np.bincount(own[kept], minlength=self.classes) for kept in (counts & (own == real), counts)]),
            )

    def _known(self, rectangle: Rectangle) -> int | None:
        """Which output of the store is that of a rectangle: one cell, or the whole image."""
        if len(cells_in(rectangle)) == 1:
            return LAST
        return self.store.header.whole[LAST] if self.crop_box(rectangle).size == self.grid.image else None

    @functools.cache  # noqa: B019  # as above
    def _stored(self, output: int) -> Mapping[tuple[int, int], NDArray[np.int64]]:
        return {
            (int(image), int(cell)): np.stack([right, predicted])
            for image, cell, right, predicted in zip(
                self.cells.image,
                self.cells.cell,
                self.cells.intersect[:, output],
                self.cells.predicted[:, output],
                strict=True,
            )
        }

    def _row(
        self,
        share: float,
        way: str,
        going: NDArray[np.bool_],
        cost: NDArray[np.float64],
        output: Mapping[tuple[int, int], NDArray[np.int64]],
        on_image: NDArray[np.bool_],
    ) -> dict[str, Any]:
        first, whole = self._stored(0), self._stored(self.store.header.whole[LAST])
        right, predicted = np.zeros((2, self.classes), np.int64)
        for image, cell, goes in zip(self.cells.image.tolist(), self.cells.cell.tolist(), going, strict=True):
            own = first if not goes else whole if on_image[image] else output
            right, predicted = right + own[image, cell][0], predicted + own[image, cell][1]
        union = predicted + self.cells.label.sum(0) - right
        miou = float((right[union > 0] / union[union > 0]).mean())
        stage0 = np.bincount(self.cells.image, self.cells.macs[:, 0])
        total = (stage0 + cost) / self.whole
        return dict(
            share=share,
            way=way,
            miou=100 * miou,
            minus_large=100 * (miou - mean_iou(self.large)),
            of_large=float(total.mean()),
            worst=float(total.max()),
        )


if __name__ == '__main__':
    main()
