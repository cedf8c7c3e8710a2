# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A few small frames and labels, in the folders of the public repository."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

NAMES = {
    'train': ('0001TP_006690', '0001TP_006720', '0006R0_f00930', '0006R0_f00960', '0006R0_f00990', '0016E5_00390'),
    'val': ('0016E5_07959', '0016E5_07961'),
    'test': ('0001TP_008550', 'Seq05VD_f00000', 'Seq05VD_f00030'),
}
HEIGHT, WIDTH = 36, 48


def write_tiny(folder: Path) -> Path:
    """The folder ``CamVid``, with labels 0 to 11 (void) in blocks, and colours that go with them."""
    rng = np.random.RandomState(0)
    for split, names in NAMES.items():
        for part in (split, f'{split}annot'):
            (folder / part).mkdir(parents=True)
        for name in names:
            labels = np.kron(rng.randint(0, 12, (6, 8)), np.ones((6, 6))).astype(np.uint8)
            image = np.stack([labels * 20, 255 - labels * 20, labels * 10], -1) + rng.randint(0, 3, (HEIGHT, WIDTH, 3))
            cv2.imwrite(str(folder / split / f'{name}.png'), image.astype(np.uint8))
            cv2.imwrite(str(folder / f'{split}annot' / f'{name}.png'), labels)
    return folder
