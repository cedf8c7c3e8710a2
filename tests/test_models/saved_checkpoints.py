# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Checkpoints that are written for a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import nn

WEIGHTS = {'fc.weight': torch.arange(6.0).reshape(2, 3), 'fc.bias': torch.ones(2)}


def saved(path: Path, content: Any, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def same(loaded: dict, expected: dict) -> bool:
    return list(loaded) == list(expected) and all(torch.equal(loaded[key], expected[key]) for key in expected)


class Net(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.fc = nn.Linear(3, 2)

    def forward(self, inputs, labels=None, mode='tensor'):
        scores = self.fc(self.norm(inputs))
        if mode == 'loss':
            return dict(loss=nn.functional.cross_entropy(scores, labels))
        return [scores]

    def train_step(self, data, optim_wrapper):
        losses, logged = self.parse_losses(self(*data, mode='loss'))
        optim_wrapper.update_params(losses)
        return logged

    def val_step(self, data):
        return self(*data)


HASHED = 'resnet18_8xb32_in1k-{}.pth'
