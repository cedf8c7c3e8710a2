# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""EfficientNet-Lites and photos, those of `make demo-imagenet`, for benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmpretrain.structures import DataSample
from PIL import Image
from torch import Tensor, nn

from mmcascade.engine.benchmark.systems import Images
from mmcascade.models.members.members import build_member

ROOT = Path(__file__).parents[2]
#: Of the images that a network takes.
SIDES = dict(lite0=224, lite2=260)


def photos_in(folder: Path, needs: str) -> list[Path]:
    """The photos below a folder in order of their names; ``needs`` is the command that brings them."""
    photos = sorted(path for path in folder.rglob('*') if path.suffix.lower() in ('.png', '.jpg', '.jpeg'))
    if not photos:
        raise SystemExit(f'error: there are no photos in {folder.relative_to(ROOT)}; run `{needs}` first')
    return photos


def load_images(count: int, sides: Sequence[int], seed: int = 0) -> Images:
    """Random crops of the photos with noise, each at every resolution."""
    photos = photos_in(ROOT / 'data' / 'foolbox' / 'val', 'make demo-imagenet')
    rng = np.random.default_rng(seed)
    views: list[list[Tensor]] = [[] for _ in sides]
    for index in range(count):
        photo = Image.open(photos[index % len(photos)]).convert('RGB')
        side = int(min(photo.size) * rng.uniform(0.5, 1.0))
        left, top = (int(rng.integers(0, length - side + 1)) for length in photo.size)
        noise = rng.uniform(0, 30)
        for view, size in zip(views, sides, strict=True):
            pixels = np.asarray(photo.crop((left, top, left + side, top + side)).resize((size, size)), np.float32)
            pixels = (pixels + rng.normal(0, noise, pixels.shape)).clip(0, 255).astype(np.uint8)
            view.append(torch.from_numpy(pixels[..., ::-1].copy()).permute(2, 0, 1))  # BGR, as mmcv reads
    return Images([torch.stack(view) for view in views], [DataSample() for _ in range(count)])


def lite(name: str) -> nn.Module:
    config = dict(
        _scope_='mmpretrain',
        type='TimmClassifier',
        model_name=f'tf_efficientnet_{name}',
        data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True),
    )
    checkpoint = ROOT / 'work_dirs' / 'efficientnet-lite' / f'{name}.pth'
    if not checkpoint.exists():
        raise SystemExit(f'error: {checkpoint} is missing; run `make demo-imagenet` first')
    return build_member(name, config, checkpoint).module
