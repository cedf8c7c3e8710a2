# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A folder of composed canvases, in the layout of Cityscapes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np

from mmcascade._system.files import write_bytes, write_json
from mmcascade.datasets.quickstart.compose_canvas import SPARSE, Layout, compose_canvas
from mmcascade.datasets.stratified import stratified_indices

SCHEMA = 1
SETTINGS = 'canvases.json'
#: Crowds nearly everywhere, on half the height and width: training takes crops, and learns little from background.
DENSE = Layout(crowds=(3, 4), alone=(2, 7))
#: How many canvases there are of each split.
COUNTS: Mapping[str, int] = MappingProxyType({'train': 160, 'val': 16, 'test': 16})
#: As in Cityscapes, no city is in two splits.
CITIES = {
    'train': ('composed-a', 'composed-b', 'composed-c', 'composed-d'),
    'val': ('composed-e', 'composed-f'),
    'test': ('composed-g', 'composed-h'),
}


class CanvasFolderError(Exception):
    """The folder holds other canvases than those asked for."""


def source_garments(fashion_mnist_root: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """The images that canvases of a split are composed of; no image is in two splits.

    Args:
        fashion_mnist_root: folder with the four unpacked files.
        split: 'test' takes the test images, 'val' a sixth of the training images, 'train' the others.

    Returns:
        uint8 (N, 28, 28) and uint8 (N): grey images and their classes.
    """
    prefix = 't10k' if split == 'test' else 'train'
    images, labels = (
        np.frombuffer((fashion_mnist_root / f'{prefix}-{name}-ubyte').read_bytes(), np.uint8, offset=header)
        for name, header in (('images-idx3', 16), ('labels-idx1', 8))
    )
    images = images.reshape(-1, 28, 28)
    if split == 'test':
        return images, labels
    held_out = stratified_indices(labels, len(labels) // 6)
    part = held_out if split == 'val' else np.setdiff1d(np.arange(len(labels)), held_out, assume_unique=True)
    return images[part], labels[part]


def build_canvases(
    fashion_mnist_root: Path,
    out: Path,
    counts: Mapping[str, int] = COUNTS,
    *,
    seed: int = 0,
    height: int = 1024,
    width: int = 2048,
    scale: float = 1.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write ``out/leftImg8bit`` and ``out/gtFine`` as Cityscapes has them. What is there already is kept.

    A canvas depends on the seed, its split and its number only, and an interrupted run continues. Canvases to train
    on have half the height and width of the others, and are dense.

    Args:
        fashion_mnist_root: folder with the four unpacked files of Fashion-MNIST.
        out: made if needed.
        counts: number of canvases of each split, of which there are 'train', 'val' and 'test'.
        seed: of the canvases.
        height, width: of the canvases to calibrate and to test on.
        scale: multiplies the sizes of everything on a canvas.
        progress: called with the number of canvases that are there, and of all, before each one and at the end.

    Raises:
        CanvasFolderError: if ``out`` was made with other numbers, sizes or seed.
    """
    _claim(out, {'schema': SCHEMA, 'seed': seed, 'height': height, 'width': width, 'scale': scale, **counts})
    whole: dict[str, Any] = {'height': height, 'width': width, 'layout': SPARSE, 'scale': scale}
    part = {**whole, 'height': height // 2, 'width': width // 2, 'layout': DENSE}
    done, total = 0, sum(counts.values())
    for order, (split, count) in enumerate(counts.items()):
        garments, labels = source_garments(fashion_mnist_root, split)
        for index in range(count):
            progress(done, total)
            image_path, label_path = canvas_paths(out, split, index)
            if not image_path.exists():
                rng = np.random.RandomState([seed, order, index])
                image, label = compose_canvas(rng, garments, labels, **(part if split == 'train' else whole))
                _write_png(label_path, label)
                _write_png(image_path, image)  # the last of the two, so where it is, both are
            done += 1
    progress(done, total)


def canvas_paths(out: Path, split: str, index: int) -> tuple[Path, Path]:
    """Where the image and the labels of a canvas are."""
    cities = CITIES[split]
    city = cities[index % len(cities)]
    stem = f'{city}_{index // len(cities):06d}_000019'
    return (
        out / 'leftImg8bit' / split / city / f'{stem}_leftImg8bit.png',
        out / 'gtFine' / split / city / f'{stem}_gtFine_labelTrainIds.png',
    )


def _claim(out: Path, settings: dict[str, float]) -> None:
    """Note down what the folder holds, or check that it is what is asked for."""
    path = out / SETTINGS
    if path.exists():
        found = json.loads(path.read_text())
        if found != settings:
            raise CanvasFolderError(
                f'{out} holds canvases made with {found}, and {settings} are asked for. Name '
                'another folder, or delete this one'
            )
        return
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, settings)


def _write_png(path: Path, pixels: np.ndarray) -> None:
    _, content = cv2.imencode('.png', pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    write_bytes(path, content.tobytes())
