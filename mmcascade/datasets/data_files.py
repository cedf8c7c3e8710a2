# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a data set is made of, to tell later whether it is still the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmcascade.calibration.stores.data_identity import DataIdentity, FileIdentity
from mmcascade.calibration.stores.fingerprints import fingerprint
from mmcascade.datasets.unit_keys import unit_key

#: A path of a file, or content that lies in memory.
_Part = str | bytes


def data_identity(dataset: Any, labelled: bool = True) -> DataIdentity:
    """Which images and labels an mmengine data set holds. Every file is asked for its size and time, none is read.

    Args:
        dataset: the built data set.
        labelled: whether labels and annotations count.
    """
    keys: list[bytes] = []
    images: list[_Part] = []
    labels: list[_Part] = [repr((getattr(dataset, 'metainfo', None) or {}).get('classes')).encode()]
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        keys.append(unit_key(info))
        images.append(str(info['img_path']) if 'img_path' in info else keys[-1])
        labels.extend(_labels(info))
    return DataIdentity(
        len(dataset), fingerprint(keys), file_identity(images), file_identity(labels) if labelled else None
    )


def file_identity(parts: Sequence[_Part]) -> FileIdentity:
    """By what files and content in memory are known again; files are read when their content is asked for."""
    return FileIdentity(
        fingerprint(part if isinstance(part, bytes) else _stat(part) for part in parts),
        lambda: fingerprint(part if isinstance(part, bytes) else _content(part) for part in parts),
    )


def _labels(info: dict[str, Any]) -> list[_Part]:
    """The label of an image, or the file of its annotation and how it is read."""
    parts: list[_Part] = []
    if 'gt_label' in info:
        parts.append(repr(np.asarray(info['gt_label']).tolist()).encode())
    if info.get('seg_map_path') is not None:
        parts.append(str(info['seg_map_path']))
    reading = [info.get(name) for name in ('label_map', 'reduce_zero_label')]
    if any(reading):
        parts.append(repr(reading).encode())
    return parts


def _stat(path: str) -> bytes:
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # on another machine, of which only the name is known
        return path.encode()
    return f'{found.st_size} {found.st_mtime_ns}'.encode()


def _content(path: str) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    try:
        with open(path, 'rb') as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except (OSError, ValueError):
        return path.encode()
    return digest.digest()
