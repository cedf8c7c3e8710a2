# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""MSDNet at its published settings: sizes, costs and the names of weights, against arithmetic after the paper."""

from __future__ import annotations

import itertools
import re

import pytest
import torch
from mmengine.config import ConfigDict

from mmcascade.models.members.exits.msdnet import SETTINGS
from mmcascade.models.members.members import build_member
from mmcascade.models.members.weights.checkpoints import CheckpointError
from mmcascade.models.runtimes.networks.exit_network import ExitCosts, ExitNetwork
from mmcascade.registry import MODELS
from tests.support import ROOT
from tests.support.members.msdnet_by_hand import COMMANDS, msdnet

#: What the public implementation's counter prints for its ImageNet weights: operations up to each exit with all heads
#: on the way, and parameters, in millions (kalviny/MSDNet-PyTorch, issue 10).
PRINTED = [615.69, 1436.39, 2283.21, 2967.42, 3253.79], [8.76, 20.15, 31.73, 41.86, 62.31]


def by_hand(setting):
    cifar = setting.startswith('cifar')
    return msdnet(**COMMANDS[setting], cifar=cifar, classes=100 if cifar else 1000)


def config_of(setting, classes):
    hidden = 128 if setting.startswith('cifar') else None
    return dict(
        type='mmcascade.MultiExitClassifier',
        backbone=dict(type='mmcascade.MSDNet', setting=setting),
        head=dict(type='mmcascade.MSDNetHead', num_classes=classes, hidden=hidden),
    )


def built(setting):
    return MODELS.build(ConfigDict(config_of(setting, 100 if setting.startswith('cifar') else 1000))).eval()


def millions(numbers, digits=2):
    return [round(number / 1e6, digits) for number in numbers]


def test_the_arithmetic_gives_what_the_public_counter_prints():
    exits = by_hand('imagenet-step7')
    operations = [sum(part.macs + part.rest for part in exit) for exit in exits]
    parameters = [sum(part.parameters for part in exit) for exit in exits]
    assert (millions(itertools.accumulate(operations)), millions(itertools.accumulate(parameters))) == PRINTED


def all_but(quick, settings):
    return [pytest.param(name, marks=[] if name in quick else [pytest.mark.slow]) for name in settings]


@pytest.mark.parametrize('setting', all_but(['cifar-budgeted-5'], SETTINGS))
def test_every_exit_has_the_size_and_cost_of_the_arithmetic(setting):
    model, exits = built(setting), by_hand(setting)
    size = 32 if setting.startswith('cifar') else 224
    image = torch.zeros(1, 3, size, size, dtype=torch.uint8)
    spent = 0.0
    for k, (body, head) in enumerate(exits):
        parts = model.backbone.blocks[k], model.head.classifier[k]
        found = [sum(p.numel() for p in part.parameters()) for part in parts]
        assert found == [body.parameters, head.parameters]
        costs = ExitCosts(ExitNetwork(model, k))
        assert costs.whole(image) - spent == body.macs + head.macs  # after the exit before
        assert costs.spent(image) - spent == body.macs
        spent = costs.spent(image)


def test_the_page_has_these_costs_and_sizes():
    page = (ROOT / 'docs' / 'en' / 'user_guides' / 'multi_exit.md').read_text()
    rows = dict(re.findall(r'^\| `((?:imagenet|cifar)-[\w-]+)` \| (.*) \|$', page, re.MULTILINE))
    assert list(rows) == [name for name in rows if name in COMMANDS] and set(rows) == set(COMMANDS) == set(SETTINGS)
    for setting, row in rows.items():
        macs, parameters = ([float(number) for number in cell.split(', ')] for cell in row.split(' | '))
        exits = by_hand(setting)
        assert macs == millions([body.macs + head.macs for body, head in exits], 1 if setting[0] == 'c' else 0)
        sizes = itertools.accumulate(body.parameters + head.parameters for body, head in exits)
        assert parameters == millions(sizes)


@pytest.mark.parametrize('setting', all_but(['cifar-anytime-7', 'cifar-budgeted-5'], SETTINGS))
def test_checkpoints_with_the_public_names_load_strictly(setting, tmp_path):
    shapes = {name: shape for exit in by_hand(setting) for part in exit for name, shape in part.shapes.items()}
    torch.manual_seed(0)
    public = {
        f'module.{name}': torch.tensor(7) if name.endswith('num_batches_tracked') else torch.randn(shape)
        for name, shape in shapes.items()
    }
    torch.save({'state_dict': public, 'epoch': 299}, tmp_path / 'public.pth')
    config = config_of(setting, 100 if setting.startswith('cifar') else 1000)
    loaded = build_member('msdnet', config, tmp_path / 'public.pth').module.state_dict()
    names = {'blocks': 'backbone.blocks', 'classifier': 'head.classifier'}
    for name, value in public.items():
        first, _, rest = name.removeprefix('module.').partition('.')
        assert torch.equal(loaded.pop(f'{names[first]}.{rest}'), value)
    assert all(name.startswith('data_preprocessor') for name in loaded)
    del public['module.classifier.3.linear.bias']
    torch.save({'state_dict': public}, tmp_path / 'public.pth')
    with pytest.raises(CheckpointError, match=r'head\.classifier\.3\.linear\.bias'):
        build_member('msdnet', config, tmp_path / 'public.pth')
