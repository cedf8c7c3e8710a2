# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Write two small sets of grey 28x28 pictures that are out of distribution for Fashion-MNIST.

Both lie in the scikit-learn package (BSD licence): its 1,797 handwritten digits of 8x8 pixels, enlarged, come out as
``OUT_DIR/digits/*.png``, and its two photos, cut into tiles, as ``OUT_DIR/photo-tiles/*.png``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from sklearn.datasets import load_digits, load_sample_images

SIZE = 28


def digit_pictures() -> np.ndarray:
    """The digits, bright on black as Fashion-MNIST is, uint8 ``(N, 28, 28)``."""
    grey = (load_digits().images * 255 / 16).astype(np.float32)
    enlarged = [cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) for image in grey]
    return np.stack(enlarged).round().clip(0, 255).astype(np.uint8)


def photo_tiles() -> np.ndarray:
    """All whole tiles of the photos, uint8 ``(N, 28, 28)``."""
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'out_dir',
        type=Path,
        nargs='?',
        default=Path('data/ood'),
        help='folder that receives digits/ and photo-tiles/ (default: %(default)s)',
    )
    out_dir = parser.parse_args().out_dir
    for name, pictures in (('digits', digit_pictures()), ('photo-tiles', photo_tiles())):
        write_pictures(pictures, out_dir / name)
        print(f'{len(pictures)} pictures -> {out_dir / name}')


if __name__ == '__main__':
    main()
