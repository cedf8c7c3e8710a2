# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Clips, and a small network that takes them."""

from __future__ import annotations

import torch
from torch import nn

from mmcascade.models.members.recipes.recipe import NormalizedNetwork, Recipe


class TinyClips(nn.Module):
    """A convolution over space and time, for clips of any length ``(N, C, T, H, W)``."""

    def __init__(self, classes=4):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv3d(3, 6, 3, (1, 2, 2), 1)
        self.head = nn.Linear(6, classes)
        nn.init.normal_(self.head.weight, std=3.0)

    def forward(self, clips):
        return self.head(self.conv(clips).relu().mean((2, 3, 4)))


def tiny_clips(clip='NCTHW'):
    return NormalizedNetwork(TinyClips(), Recipe((), (110.0,) * 3, (60.0,) * 3, clip=clip), 4).eval()


def clips(n=6, frames=8, size=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, frames, 3, size, size), generator=generator, dtype=torch.uint8)
