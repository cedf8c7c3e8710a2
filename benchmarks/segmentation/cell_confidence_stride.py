# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What is lost when a cell's confidence looks at every second, fourth, ... pixel only.

The first stage of a cascade labels the test images of a config; for each stride, the confidences of all cells beside
those over every pixel: the largest and mean difference, and the share of cells that fall on the same side of the
threshold below which a share of them lies.

Example: benchmarks/segmentation/cell_confidence_stride.py configs/quickstart_seg/cascade.py --json out.json
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config, DictAction
from mmengine.registry import DATASETS, init_default_scope

from mmcascade.models.cascade_segmentor import CascadeSegmentor
from mmcascade.registry import MODELS
from mmcascade.routing import CascadeState, CellConfidence, UnitBatch

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, print_table, write_rows

STRIDES = (1, 2, 4, 8, 16)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('config', help='config of a CascadeSegmentor with trained members')
    parser.add_argument('--share', type=float, default=0.4, help='of the cells, lies below the threshold (default 0.4)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings: key=value pairs')
    args = parser.parse_args()
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    scores = confidences(cfg)
    exact = scores[1]
    threshold = np.nanquantile(exact, args.share)
    rows = []
    for stride, found in scores.items():
        difference = np.abs(found - exact)[~np.isnan(found + exact)]  # a cell of which no pixel counts has no score
        rows.append(
            dict(
                stride=stride,
                cells=len(exact),
                largest=float(difference.max()),
                mean=float(difference.mean()),
                same_side=float(((found > threshold) == (exact > threshold)).mean()),
            )
        )
    print_table(rows)
    if args.json:
        write_rows(args.json, [dict(row, config=args.config, share=args.share) for row in rows])


@torch.no_grad()
def confidences(cfg: Config) -> dict[int, np.ndarray]:
    """Per stride the confidences of all cells of the test images after stage 0."""
    init_default_scope('mmseg')
    model: CascadeSegmentor = MODELS.build(cfg.model)
    dataset = DATASETS.build(copy.deepcopy(cfg.test_dataloader.dataset))
    strides = {stride: CellConfidence(stride=stride) for stride in STRIDES}
    found: dict[int, list[np.ndarray]] = {stride: [] for stride in STRIDES}
    for item in dataset:
        tile = model.tile(item['inputs'], item['data_samples'])
        state = CascadeState.start(model.stages[0](UnitBatch.submitted(tile, np.arange(len(tile)), 0)), model.fusion)
        for stride, confidence in strides.items():
            found[stride].append(confidence(state).numpy())
    return {stride: np.concatenate(scores) for stride, scores in found.items()}


if __name__ == '__main__':
    main()
