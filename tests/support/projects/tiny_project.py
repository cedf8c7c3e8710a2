# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A folder with images, checkpoints and configs, as a user of the tools has it."""

from __future__ import annotations

from pathlib import Path

import mmcv
import torch

from tests.support.members.tiny_models import CLASSES, TINY, images, tiny

NAMES = ('ant', 'bee', 'cat', 'dog', 'eel')

CONFIG = """
default_scope = 'mmpretrain'
{members}
model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(
        small=dict(model=small, checkpoint='{root}/small.pth'),
        large=dict(model=large, checkpoint='{root}/large.pth')),
    stages=[dict(member='small', view=0), dict(member='large', view=1)],
    policy=dict(type='mmcascade.WindowPolicy', windows=[(0.3, 0.6)]),
    accept=0.5)
resize = dict(type='Resize', interpolation='bilinear')
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='MultiView', num_views=[1, 1], transforms=[[dict(scale=32, **resize)], [dict(scale=40, **resize)]]),
    dict(type='PackInputs')]
test_dataloader = dict(
    batch_size=4, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='CustomDataset', data_root='{root}', ann_file='labels.txt', data_prefix='images',
                 pipeline=test_pipeline))
test_evaluator = [
    dict(type='Accuracy', topk=(1,)),
    dict(type='mmcascade.SelectiveRisk', risks=(0.05, 0.5), coverages=(0.5, 0.8)),
    dict(type='mmcascade.CascadeCost')]
test_cfg = dict()
custom_hooks = [dict(type='mmcascade.StageTableHook')]
visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
log_level = 'INFO'
"""

SPLITS = """
import copy
val_dataloader = copy.deepcopy(test_dataloader)
val_dataloader['dataset']['ann_file'] = 'calibration.txt'
detector_dataloader = copy.deepcopy(test_dataloader)
detector_dataloader['dataset']['ann_file'] = 'bank.txt'
del copy
"""


def make_project(root: Path, n: int = 13) -> Path:
    """Write everything under ``root``; the path of the cascade's config."""
    (root / 'images').mkdir(parents=True)
    lines = []
    for index, image in enumerate(images(n, 48, seed=11)):
        mmcv.imwrite(image.permute(1, 2, 0).numpy(), str(root / 'images' / f'{index:03d}.png'))
        lines.append(f'{index:03d}.png {index % CLASSES}\n')
    (root / 'labels.txt').write_text(''.join(lines))
    for name, kind, seed in (('small', 'resnet', 0), ('large', 'mobilenet', 1)):
        torch.save(
            {'state_dict': tiny(kind, seed).state_dict(), 'meta': {'dataset_meta': {'classes': NAMES}}},
            root / f'{name}.pth',
        )
    config = root / 'cascade.py'
    config.write_text(CONFIG.format(root=root, members=f'small = {TINY["resnet"]!r}\nlarge = {TINY["mobilenet"]!r}'))
    return config


def make_split_project(root: Path, calibration: int, test: int, bank: int = 0) -> Path:
    """A project whose cascade has no thresholds yet, and a part of the images to place them on.

    Args:
        root: to write under.
        calibration: images of val_dataloader.
        test: images of test_dataloader, the last ones.
        bank: images of detector_dataloader, the first ones.
    """
    config = make_project(root, bank + calibration + test)
    rows = (root / 'labels.txt').read_text().splitlines(keepends=True)
    (root / 'bank.txt').write_text(''.join(rows[:bank]))
    (root / 'calibration.txt').write_text(''.join(rows[bank : bank + calibration]))
    (root / 'labels.txt').write_text(''.join(rows[bank + calibration :]))
    text = config.read_text()
    thresholds = "policy=dict(type='mmcascade.WindowPolicy', windows=[(0.3, 0.6)]),\n    accept=0.5)"
    assert thresholds in text
    config.write_text(text.replace(thresholds, ')') + SPLITS)
    return config
