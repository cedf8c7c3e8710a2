# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What the stages of the Cityscapes configs cost on an image of 1024x2048 pixels, counted without running them.

    python benchmarks/segmentation/cityscapes_macs.py [--json F]

Needs neither weights nor images: the networks run on tensors that carry shapes only.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmcascade.models.cascade_segmentor import CascadeSegmentor
from mmcascade.models.cells.grid import Grid
from mmcascade.models.cells.tiled_image import TiledImage
from mmcascade.models.stages.segmentor_stage import SegmentorStage
from mmcascade.models.stages.stage import StageOptions
from mmcascade.registry import MODELS

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, report

CONFIGS = Path(__file__).parents[2] / 'configs' / 'cityscapes'
SIZE = (1024, 2048)


def build_without_weights(path: Path) -> CascadeSegmentor:
    """The cascade of a config with random weights; nothing is downloaded."""
    model = Config.fromfile(path).model
    for member in model.members.values():
        member.checkpoint = None
    return MODELS.build(model)


def costs(name: str, model: CascadeSegmentor) -> dict[str, Any]:
    """The row of a config: multiply-adds in G.

    ``all_second`` is the second member on the whole image by its own test mode, ``break_even`` the share of the cells
    that may go on until the cascade costs as much.
    """
    image = TiledImage(torch.empty(3, *SIZE, dtype=torch.uint8), Grid(SIZE, model.cell))
    first, second = model.stages

    def macs(**options: Any) -> float:
        return charged(SegmentorStage(second.member, second.network, second.counter, StageOptions(), **options))

    def charged(stage: SegmentorStage) -> float:
        return stage.macs_of(stage.probe(image)) / 1e9

    stage0, cell, whole = charged(first), charged(second), macs(on='image')
    return dict(
        config=name,
        stage0=stage0,
        cells=len(image),
        margin=model.margin,
        cell=cell,
        cell_margin0=macs(on='cell', margin=0),
        cell_margin64=macs(on='cell', margin=64),
        all_second=whole,
        break_even=(whole - stage0) / (len(image) * cell),
    )


def main() -> None:
    parser = arguments(__doc__)
    args = parser.parse_args()
    with DefaultScope.overwrite_default_scope('mmseg'):
        rows = [costs(path.name, build_without_weights(path)) for path in sorted(CONFIGS.glob('*.py'))]
    report(rows, args.json)


if __name__ == '__main__':
    main()
