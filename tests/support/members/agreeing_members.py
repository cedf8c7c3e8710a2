# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Tiny members that agree on most images, as those of the quickstart do."""

from __future__ import annotations

import torch
from torch import nn

from tests.support.members.tiny_models import tiny

MEMBERS = {'small0': 0, 'small1': 1, 'large': 2}


def member(seed: int) -> nn.Module:
    """Members that agree on most images, as trained ones do."""
    model = tiny('resnet', 0)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += seed * 0.1 * parameter.std(correction=0) * torch.randn(parameter.shape, generator=generator)
    return model
