# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The folder of :mod:`tests.support.projects.tiny_project`, with a network of four exits as its member."""

from __future__ import annotations

from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict

from tests.support.members.tiny_models import CLASSES, PREPROCESSOR
from tests.support.projects.tiny_project import NAMES, make_project

MEMBER = dict(
    type='mmcascade.MultiExitClassifier',
    _scope_='mmpretrain',
    backbone=dict(
        type='mmcascade.LevelExits',
        backbone=dict(type='mmpretrain.ResNet_CIFAR', depth=18, base_channels=4, stem_channels=4),
        out_indices=(0, 1, 2, 3),
    ),
    head=dict(type='mmcascade.MultiExitHead', num_classes=CLASSES, in_channels=(4, 8, 16, 32)),
    data_preprocessor=PREPROCESSOR,
)


def exits_model():
    """The member with random weights whose scores differ from image to image."""
    from mmcascade.registry import MODELS

    torch.manual_seed(3)
    model = MODELS.build(ConfigDict(MEMBER)).eval()
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=1.5)
        elif name.endswith('weight') and parameter.dim() == 4:
            torch.nn.init.kaiming_normal_(parameter)
    return model


def make_exit_project(root: Path, n: int = 13) -> Path:
    """Write everything under ``root``; the path of the cascade's config."""
    config = make_project(root, n)
    torch.save(
        {'state_dict': exits_model().state_dict(), 'meta': {'dataset_meta': {'classes': NAMES}}}, root / 'net.pth'
    )
    cfg = Config.fromfile(str(config))
    cfg.model.members = dict(net=dict(model=MEMBER, checkpoint=str(root / 'net.pth')))
    cfg.model.stages = [
        dict(member='net', exit=0),
        dict(member='net', exit=1, continues=0),
        dict(member='net', exit=3, continues=1),
    ]
    cfg.model.fusion = 'replace'
    cfg.model.policy = dict(type='mmcascade.WindowPolicy', windows=[(0.3, 0.88), (None, 0.985)])
    cfg.dump(str(config))
    return config
