# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Two members of a user's own and a folder of labelled images, tiny and real."""

from __future__ import annotations

from pathlib import Path

import mmcv
import torch

from tests.support.members.tiny_models import CLASSES, TINY, images, tiny
from tests.support.projects.tiny_project import NAMES

MEMBER = """
default_scope = 'mmpretrain'
model = {model!r}
test_dataloader = dict(batch_size=4, dataset=dict(type='CustomDataset', data_root='elsewhere', pipeline=[
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale={scale}, interpolation='bilinear'),
    dict(type='PackInputs')]))
"""


def write_members(root: Path) -> list[str]:
    """The words of a command line: the dear member first, each a config with its checkpoint."""
    words = []
    for name, kind, scale in (('dear', 'resnet', 32), ('cheap', 'mobilenet', 40)):
        config = root / f'{name}.py'
        config.write_text(MEMBER.format(model=TINY[kind], scale=scale))
        state = {'state_dict': tiny(kind, 1).state_dict(), 'meta': {'dataset_meta': {'classes': NAMES}}}
        torch.save(state, root / f'{name}.pth')
        words += [str(config), str(root / f'{name}.pth')]
    return words


def write_images(root: Path, n: int = 60) -> Path:
    """A folder per class, with images whose labels are mostly what the dear member says."""
    model = tiny('resnet', 1)
    pixels = images(n, 48, seed=11)
    resized = torch.nn.functional.interpolate(pixels.float(), 32, mode='bilinear')
    with torch.no_grad():
        scores = model(model.data_preprocessor(dict(inputs=list(resized)))['inputs'].float(), mode='tensor')
    # Random networks prefer a class or two, and every class needs images.
    labels = (scores - scores.mean(0)).argmax(1)
    labels[:: CLASSES + 1] = torch.arange(len(labels[:: CLASSES + 1])) % CLASSES
    for index, (image, label) in enumerate(zip(pixels, labels.tolist(), strict=True)):
        mmcv.imwrite(image.permute(1, 2, 0).numpy(), str(root / 'photos' / NAMES[label] / f'{index:03d}.png'))
    return root / 'photos'
