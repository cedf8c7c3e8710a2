# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A network of a zoo as its own library builds and runs it, with random weights that keep images apart."""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmcascade.models.members.member_configs import model_config
from mmcascade.models.runtimes.networks.segmentor_network import SegmentorNetwork

sys.path.insert(0, str(Path(__file__).parents[1]))
from random_networks import settling_norms

Weights = dict[str, Tensor]


def library_builds(model: str | Mapping[str, Any]) -> BaseModel | str:
    """The network, or why the library cannot build it."""
    try:
        return MODELS.build(ConfigDict(model_config(model))).eval()
    except Exception as error:  # libraries fail in many ways
        return first_line(error)


def first_line(error: Exception) -> str:
    return f'{type(error).__name__}: {error}'.strip().splitlines()[0][:300]


def draw_images(number: int, size: int) -> Tensor:
    """Raw images with structure at two scales."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(number, 3, 4, 4, generator=generator) * 200
    fine = torch.rand(number, 3, size, size, generator=generator) * 55
    return (nn.functional.interpolate(coarse, size) + fine).to(torch.uint8)


@torch.no_grad()
def draw_weights(built: nn.Module, seed: int, images: Tensor) -> Weights | str:
    """Random weights that keep images apart, with batch norm settled; or why the library does not run on them."""
    module = copy.deepcopy(built)  # networks keep what they compute for a size, in buffers too
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    # Norms that get one value per channel refuse it, for instance: their statistics stay what they are.
    with contextlib.suppress(Exception), settling_norms(module):
        run(module, images if len(images) > 1 else torch.cat([images, images.flip(-1)]))
    try:
        run(module, images)
    except Exception as error:
        return first_line(error)
    settled = module.state_dict()
    return {key: settled[key] if settled[key].shape == x.shape else x for key, x in built.state_dict().items()}


def draw_two(built: nn.Module, images: Tensor) -> tuple[Weights, Weights] | str:
    """The weights of two members; or why the library does not run on them."""
    first, second = (draw_weights(built, seed, images) for seed in (0, 1))
    if isinstance(first, str):
        return first
    return second if isinstance(second, str) else (first, second)


def loaded(built: BaseModel, weights: Mapping[str, Tensor]) -> BaseModel:
    """A copy of the network with these weights."""
    module = copy.deepcopy(built)
    # Some networks drop what they compute anew from the weights before torch looks for it, and then it is missing.
    absent, unknown = module.load_state_dict(weights, strict=False)
    if unknown or not weights.keys() >= set(absent):
        raise RuntimeError(f'the network does not load its own weights: {absent[:3]}, {unknown[:3]}')
    return module.eval()  # some networks derive tensors from their weights when they enter eval mode


def member_specs(model: Any, members: tuple[Weights, Weights], folder: str) -> dict[str, Any]:
    """The network as the members ``a`` and ``b`` of a cascade, whose checkpoints are written into a folder."""
    specs = {}
    for name, weights in zip('ab', members, strict=True):
        torch.save({'state_dict': weights}, f'{folder}/{name}.pth')
        specs[name] = dict(model=model, checkpoint=f'{folder}/{name}.pth')
    return specs


@torch.no_grad()
def run(module: BaseModel, images: Tensor) -> Tensor:
    """What the network says of images, by whatever it has for it."""
    if hasattr(module, 'decode_head'):
        return SegmentorNetwork(module)(images).values
    return predict(module, images)


@torch.no_grad()
def predict(module: BaseModel, images: Tensor) -> Tensor:
    """A classifier's own scores by its own test step."""
    samples = module.test_step(dict(inputs=images, data_samples=None))
    return torch.stack([sample.pred_score for sample in samples])
