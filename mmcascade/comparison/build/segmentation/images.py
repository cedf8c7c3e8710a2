# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Images and masks as a user has them, as the config of a data set."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import mmcv
import numpy as np

from mmcascade._system.files import close_names
from mmcascade.calibration.stores.store_identity import IGNORED
from mmcascade.engine.predict.inputs import ENDINGS

#: What folders of images and of masks are called.
IMAGES = ('images', 'image', 'img', 'imgs', 'img_dir')
MASKS = ('masks', 'mask', 'annotations', 'ann', 'ann_dir', 'labels')
_MASK_ENDING = '.png'
_LOOKED_AT = 50
_SIGNS = '._-'


def annotated_images(
    data: str | Path, classes: Sequence[str], palette: Sequence[Sequence[int]] | None, reduce_zero_label: bool
) -> dict[str, Any]:
    """The config of a BaseSegDataset over images and masks, without its pipeline.

    Args:
        data: a folder with a folder of images and one of masks, see :data:`IMAGES` and :data:`MASKS`. A mask is a PNG
            with the class of each pixel as its value, under the name of its image; an ending of their own may follow
            (``0_leftImg8bit.png`` and ``0_labelTrainIds.png``).
        classes: of the members in their order.
        palette: their colours, where the members know them.
        reduce_zero_label: whether the members were trained with it: 0 counts nowhere, and 1 is the first class.

    Raises:
        ValueError, FileNotFoundError: saying what is wrong with the data.
    """
    root = Path(data).expanduser().resolve()
    if not root.is_dir():
        raise FileNotFoundError(f'there is no folder {str(data)!r}{close_names(data)}')
    images, masks = _inner(root, IMAGES), _inner(root, MASKS)
    names = sorted(_files(images, ENDINGS))
    if not names:
        raise ValueError(f'there is no image in {images}')
    image_ending, mask_ending = _endings(images, masks, names)
    for name in islice(names, _LOOKED_AT):
        _check_mask(masks / (name.removesuffix(image_ending) + mask_ending), len(classes), reduce_zero_label)
    meta: dict[str, Any] = dict(classes=list(classes))
    return dict(
        type='BaseSegDataset',
        data_root=str(root),
        data_prefix=dict(img_path=images.name, seg_map_path=masks.name),
        img_suffix=image_ending,
        seg_map_suffix=mask_ending,
        reduce_zero_label=reduce_zero_label,
        metainfo=meta if palette is None else dict(meta, palette=[list(colour) for colour in palette]),
    )


def _inner(root: Path, names: Sequence[str]) -> Path:
    found = [root / name for name in names if (root / name).is_dir()]
    if not found:
        there = sorted(entry.name for entry in root.iterdir() if entry.is_dir())
        raise ValueError(
            f'{root} has no folder {names[0]!r}; --data is a folder with images/ and masks/, '
            f'and it has {", ".join(there) or "no folder"}'
        )
    return found[0]


def _files(folder: Path, endings: Sequence[str]) -> Iterator[str]:
    """Paths below a folder, relative to it."""
    for parent, _, names in os.walk(folder):
        for name in names:
            if name.lower().endswith(tuple(endings)):
                yield os.path.relpath(os.path.join(parent, name), folder)


def _endings(images: Path, masks: Path, names: Sequence[str]) -> tuple[str, str]:
    """What follows the name that an image and its mask share, such as '.jpg' and '.png'; the same for all images."""
    there = set(_files(masks, [_MASK_ENDING]))
    first = names[0]
    beside = sorted(mask for mask in there if os.path.dirname(mask) == os.path.dirname(first))
    fitting = dict.fromkeys(pair for mask in beside if (pair := _split(first, mask)) is not None)
    missing = ''
    for image_ending, mask_ending in fitting:
        alone = [name for name in names if not name.endswith(image_ending)]
        if alone:
            missing = f'images end with {image_ending!r} and others do not, such as {alone[0]}; give all one ending'
            continue
        lost = [name for name in names if name.removesuffix(image_ending) + mask_ending not in there]
        if not lost:
            return image_ending, mask_ending
        missing = f'{len(lost)} of the {len(names)} images have no mask, such as {lost[0]}'
    raise ValueError(
        f'{masks}: {missing or f"no mask belongs to the image {first}"}; a mask is a PNG under the name of its image'
    )


def _split(image: str, mask: str) -> tuple[str, str] | None:
    """What stands behind the longest shared beginning at whose end both have a sign that divides names."""
    shared, name = len(os.path.commonprefix([image, mask])), len(os.path.dirname(image)) + 1
    for cut in range(min(shared, len(image) - 1, len(mask) - 1), name - 1, -1):
        if image[cut] in _SIGNS and mask[cut] in _SIGNS:
            return image[cut:], mask[cut:]
    return None


def _check_mask(path: Path, classes: int, reduce_zero_label: bool) -> None:
    mask = mmcv.imread(str(path), flag='unchanged', backend='pillow')
    if mask is None or mask.ndim != 2:
        shape = 'cannot be read' if mask is None else f'has {mask.shape[-1]} channels'
        raise ValueError(f'{path} {shape}; a mask has one channel, the class of each pixel as its value')
    values = np.unique(mask).astype(np.int64)
    labels = values[values != 0] - 1 if reduce_zero_label else values
    wrong = labels[(labels >= classes) & (values[values != 0] != IGNORED if reduce_zero_label else values != IGNORED)]
    if len(wrong):
        raise ValueError(
            f'{path} has the class {wrong[0]}, and the members have {classes}, 0 to {classes - 1} ({IGNORED} counts '
            'nowhere)'
        )
