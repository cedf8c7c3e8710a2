# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Made images in the layouts of public data sets, and their configs with tiny members."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import mmcv
import numpy as np
import torch
from mmengine.config import Config

from mmcascade.registry import MODELS
from tests.support import ROOT
from tests.support.projects.tiny_seg_project import member


@dataclass(frozen=True)
class Layout:
    """How a data set lies on disk.

    Args:
        images, labels: folders.
        image_ending, label_ending: of the files.
        classes: how many there are.
        from_one: the first class is 1 on disk, and 0 counts nowhere.
        ann_file: lists the images, where the data set wants that.
    """

    images: str
    labels: str
    image_ending: str
    label_ending: str
    classes: int
    from_one: bool = False
    ann_file: str | None = None


_VOC = ('JPEGImages', 'SegmentationClass', '.jpg', '.png', 21, False, 'ImageSets/Segmentation/val.txt')
_CONTEXT = 'JPEGImages', 'SegmentationClassContext', '.jpg', '.png', 59, True, 'ImageSets/SegmentationContext/val.txt'
_AERIAL = ('img_dir/val', 'ann_dir/val', '.png', '.png')
LAYOUTS = {
    'ade20k': Layout('images/validation', 'annotations/validation', '.jpg', '.png', 150, True),
    'pascal_voc': Layout(*_VOC),
    'pascal_context': Layout(*_CONTEXT),
    'coco_stuff': Layout('images/val2017', 'annotations/val2017', '.jpg', '_labelTrainIds.png', 171),
    'loveda': Layout(*_AERIAL, 7, True),
    'potsdam': Layout(*_AERIAL, 6, True),
}
PATHS = [path for folder in LAYOUTS for path in sorted((ROOT / 'configs' / folder).glob('*.py'))]


def write_images(root: Path, layout: Layout, sizes: list[tuple[int, int]]) -> Path:
    """One image with labels per size; some pixels count nowhere."""
    generator = np.random.default_rng(0)
    first = int(layout.from_one)
    for number, (height, width) in enumerate(sizes):
        coarse = generator.integers(0, 256, (5, 6, 3)).astype(np.uint8)
        areas = generator.integers(first, layout.classes + first, (4, 5)).astype(np.uint8)
        label = mmcv.imresize(areas, (width, height), interpolation='nearest')
        label[generator.random(label.shape) < 0.05] = 0 if layout.from_one else 255
        mmcv.imwrite(
            mmcv.imresize(coarse, (width, height)), str(root / layout.images / f'{number}{layout.image_ending}')
        )
        mmcv.imwrite(label, str(root / layout.labels / f'{number}{layout.label_ending}'))
    if layout.ann_file is not None:
        (root / layout.ann_file).parent.mkdir(parents=True)
        (root / layout.ann_file).write_text('\n'.join(map(str, range(len(sizes)))))
    return root


def tiny_members(path: Path, folder: Path) -> Config:
    """A config whose networks are tiny and saved in a folder, with the test modes of its own; its data stays."""
    cfg = Config.fromfile(path)
    classes = LAYOUTS[path.parent.name].classes
    members = {}
    for seed, name in enumerate(cfg.model.members):
        spec = member(4 * (seed + 1))
        spec.decode_head.num_classes = classes
        if path.parent.name == 'pascal_context':  # as the zoo's members have it, on smaller images
            spec.test_cfg = dict(mode='slide', crop_size=(40, 40), stride=(24, 24))
        torch.manual_seed(seed)
        model = MODELS.build(copy.deepcopy(spec))
        torch.nn.init.normal_(model.decode_head.conv_seg.weight, std=6.0)  # certain of something, of 150 classes
        torch.save(dict(state_dict=model.state_dict()), folder / f'{name}.pth')
        members[name] = dict(model=spec, checkpoint=str(folder / f'{name}.pth'))
    cfg.model.members = members
    cfg.work_dir = str(folder / 'work')
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
    return cfg


def on_images(cfg: Config, root: Path, resized: tuple[int, int] | None = None, cell: int | None = None) -> Config:
    """The config on made images: resized to a scale of their own, with cells as small as they are."""
    if cell is not None and cfg.model.grid.cell is not None:
        cfg.model.grid = dict(cell=cell, margin=cell // 8)
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.dataset.data_root = str(root)
        if resized is not None:
            loader.dataset.pipeline = [
                dict(step, scale=resized) if step.type == 'Resize' else step for step in loader.dataset.pipeline
            ]
    return cfg
