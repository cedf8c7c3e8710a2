# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Two small sets of grey pictures that lie in scikit-learn and are out of distribution for Fashion-MNIST."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

SIZE = 28


def digit_pictures() -> np.ndarray:
    """The digits, bright on black as Fashion-MNIST is, uint8 ``(N, 28, 28)``."""
    from sklearn.datasets import load_digits

    grey = (load_digits().images * 255 / 16).astype(np.float32)
    enlarged = [cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) for image in grey]
    return np.stack(enlarged).round().clip(0, 255).astype(np.uint8)


def photo_tiles() -> np.ndarray:
    """All whole tiles of the photos, uint8 ``(N, 28, 28)``."""
    from sklearn.datasets import load_sample_images

    tiles = []
    for photo in load_sample_images().images:
        grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
        rows, columns = (length // SIZE for length in grey.shape)
        cut = grey[: rows * SIZE, : columns * SIZE].reshape(rows, SIZE, columns, SIZE)
        tiles.append(cut.swapaxes(1, 2).reshape(-1, SIZE, SIZE))
    return np.concatenate(tiles)


def write_pictures(pictures: np.ndarray, folder: Path) -> None:
    """One PNG per picture, unless all are there already."""
    folder.mkdir(parents=True, exist_ok=True)
    if len(list(folder.glob('*.png'))) == len(pictures):
        return
    for index, picture in enumerate(pictures):
        cv2.imwrite(str(folder / f'{index:05d}.png'), picture)


def write_small_pictures(out_dir: Path) -> dict[str, int]:
    """``OUT_DIR/digits/*.png`` and ``OUT_DIR/photo-tiles/*.png``; returns how many there are of each."""
    sets = {'digits': digit_pictures(), 'photo-tiles': photo_tiles()}
    for name, pictures in sets.items():
        write_pictures(pictures, out_dir / name)
    return {name: len(pictures) for name, pictures in sets.items()}
