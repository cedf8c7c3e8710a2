# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The configs of multi-exit networks: they build, their exits go on from each other, and the page lists them."""

from __future__ import annotations

import re

import pytest
import torch
from mmengine.config import Config

from mmcascade.registry import MODELS
from tests.support import ROOT

FOLDER = ROOT / 'configs' / 'multi_exit'


@pytest.mark.parametrize(
    ('cascade', 'member', 'shape'),
    [
        ('cascade.py', 'exits.py', (1, 28, 28)),
        ('cifar10_cascade.py', 'cifar10_exits.py', (3, 32, 32)),
    ],
)
@torch.no_grad()
def test_exits_go_on_from_each_other(cascade, member, shape):
    cfg, trained = Config.fromfile(FOLDER / cascade), Config.fromfile(FOLDER / member)
    (net,) = cfg.model.members.values()
    assert net.model == f'configs/multi_exit/{member}'
    assert net.checkpoint == f'{trained.work_dir}/epoch_{trained.train_cfg.max_epochs}.pth'
    net.update(model=MODELS.build(trained.model), checkpoint=None)
    windows = [(None, None)] * (len(cfg.model.stages) - 1)
    model = MODELS.build(dict(cfg.model, policy=dict(type='mmcascade.WindowPolicy', windows=windows)))
    images = torch.randint(0, 256, (2, *shape), dtype=torch.uint8)
    outcome = model.router.route([images])
    last = net.model.all_exits(net.model.data_preprocessor(dict(inputs=images))['inputs'])[-1]
    torch.testing.assert_close(outcome.probs, last.softmax(1), rtol=0, atol=0)
    assert [stage.before for stage in model.stages] == [None, *model.stages[:-1]]


def test_a_frozen_backbone_learns_nothing():
    cfg = Config.fromfile(FOLDER / 'cifar10_exits.py')
    model = MODELS.build(cfg.model).train()
    assert not model.backbone.backbone.bn1.training and model.head.classifier[0][0].net[1].training
    assert all(p.requires_grad == name.startswith('head') for name, p in model.named_parameters())


def test_the_page_lists_the_configs():
    listed = re.findall(r'^\| `(\w+\.py)`', (FOLDER / 'README.md').read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in FOLDER.glob('*.py'))
