# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A small network with four exits, whose state is a tree of maps at two resolutions."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from mmcascade.models.members.exits.multi_exit import Blocks
from tests.support.members.tiny_models import CLASSES

EXITS = 4


class TinyExits(Blocks):
    """Blocks on a fine and a coarse map, as in MSDNet; heads with a convolution of their own."""

    exits = EXITS
    num_classes = CLASSES

    def __init__(self, seed=0, width=6):
        super().__init__()
        torch.manual_seed(seed)
        self.stem = nn.Conv2d(3, width, 3, 2, 1)
        self.fine = nn.ModuleList(nn.Conv2d(width, width, 3, 1, 1) for _ in range(EXITS))
        self.coarse = nn.ModuleList(nn.Conv2d(width, 2 * width, 3, 2, 1) for _ in range(EXITS))
        self.kept = nn.ModuleList(nn.Conv2d(2 * width, 2 * width, 1) for _ in range(EXITS))
        self.looks = nn.ModuleList(nn.Conv2d(2 * width, 2 * width, 3, 2, 1) for _ in range(EXITS))
        self.heads = nn.ModuleList(nn.Linear(2 * width, CLASSES) for _ in range(EXITS))
        for module in self.modules():  # so that scores differ from image to image
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=2.0)
        self.eval()

    def block(self, exit, rows):
        if exit == 0:
            rows = {'fine': self.stem(rows.float() / 64).relu(), 'coarse': None}
        fine = self.fine[exit](rows['fine']).relu()
        coarse = self.coarse[exit](rows['fine'])
        if rows['coarse'] is not None:
            coarse = coarse + self.kept[exit](rows['coarse'])
        return {'fine': fine, 'coarse': coarse.relu()}

    def head(self, exit, rows):
        return self.heads[exit](functional.adaptive_avg_pool2d(self.looks[exit](rows['coarse']).relu(), 1).flatten(1))


def count_blocks(network):
    """Per layer how many rows it has seen since, by its name; call ``.clear()`` to begin anew."""
    seen = {}

    def watch(name):
        def hook(module, inputs, output):
            del module, output
            seen[name] = seen.get(name, 0) + len(inputs[0])

        return hook

    for name, module in network.named_modules():
        if not list(module.children()):
            module.register_forward_hook(watch(name))
    return seen
