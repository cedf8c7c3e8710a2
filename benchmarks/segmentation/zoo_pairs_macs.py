# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What the stages of the configs for ADE20K, Pascal, COCO-Stuff, LoveDA and Potsdam cost on an image of a usual size.

    python benchmarks/segmentation/zoo_pairs_macs.py [--json F]

Needs neither weights nor images: the networks run on tensors that carry shapes only.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from mmcv.transforms import Resize
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmcascade.models.cascade_segmentor import CascadeSegmentor
from mmcascade.models.cells.grid import Grid
from mmcascade.models.cells.tiled_image import TiledImage
from mmcascade.registry import MODELS

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, report

CONFIGS = Path(__file__).parents[2] / 'configs'
#: Height and width of an image on disk, per folder of configs.
SIZES = {
    'ade20k': (512, 683),
    'pascal_voc': (375, 500),
    'pascal_context': (375, 500),
    'coco_stuff': (480, 640),
    'loveda': (1024, 1024),
    'potsdam': (512, 512),
}
PATHS = [path for folder in SIZES for path in sorted((CONFIGS / folder).glob('*.py'))]


def seen_size(config: Config, size: tuple[int, int]) -> tuple[int, int]:
    """What the pipeline's Resize makes of an image of this size."""
    options = dict(next(step for step in config.test_pipeline if step['type'] == 'Resize'))
    options.pop('type')
    height, width = Resize(**options)(dict(img=torch.zeros(*size, 3, dtype=torch.uint8).numpy()))['img_shape']
    return height, width


def build_without_weights(config: Config) -> CascadeSegmentor:
    """The cascade of a config with random weights; nothing is downloaded."""
    for member in config.model.members.values():
        member.checkpoint = None
    return MODELS.build(config.model)


def costs(path: Path) -> dict[str, Any]:
    """The row of a config: multiply-adds in G.

    ``second`` is the second stage on one cell, ``all_second`` its member on the whole image by its own test mode, and
    ``break_even`` the share of the cells that may go on until the cascade costs as much.
    """
    config, size = Config.fromfile(path), SIZES[path.parent.name]
    model = build_without_weights(config)
    image = TiledImage(torch.empty(3, *seen_size(config, size), dtype=torch.uint8), Grid(size, model.cell))
    first, second = model.stages
    stage0, cell, whole = (stage.macs_of(stage.probe(image)) / 1e9 for stage in (first, second, second.alone()))
    return dict(
        config=f'{path.parent.name}/{path.name}',
        height=size[0],
        width=size[1],
        cells=len(image),
        stage0=stage0,
        second=cell,
        all_second=whole,
        break_even=(whole - stage0) / (len(image) * cell),
    )


def main() -> None:
    parser = arguments(__doc__)
    args = parser.parse_args()
    with DefaultScope.overwrite_default_scope('mmseg'):
        rows = [costs(path) for path in PATHS]
    report(rows, args.json)


if __name__ == '__main__':
    main()
