# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What both inferencers do, whichever library their members are from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
from mmengine.config import Config
from mmengine.fileio import get
from numpy.typing import NDArray

from mmcascade.apis.inferencers.images import ImageLike, as_bgr, name_of
from mmcascade.engine.configs.datasets import pipeline_owners
from mmcascade.engine.predict.deciders.loading import Loading


def innermost_dataset(cfg: Config) -> Any:
    """The config of the test data set inside of its wrappers, which has the pipeline."""
    return pipeline_owners(cfg.test_dataloader.dataset)[0]


def loader(pipeline: Sequence[Mapping[str, Any]]) -> Callable[[ImageLike], dict[str, Any]]:
    """What stands in a pipeline in place of its ``LoadImageFromFile``, and gives of any image what that would."""
    loading = Loading.of(pipeline)

    def load(image: ImageLike) -> dict[str, Any]:
        array = _read(image, loading)
        fields = dict(img=array, img_shape=array.shape[:2], ori_shape=array.shape[:2])
        return fields | (dict(img_path=str(image)) if isinstance(image, str | PathLike) else {})

    return load


def _read(image: ImageLike, loading: Loading) -> NDArray[Any]:
    found = None
    if isinstance(image, str | PathLike):
        found = loading.read(get(str(image)))
    elif isinstance(image, bytes | bytearray | memoryview):
        found = loading.read(bytes(image))
    # It takes what is no file, and says what is wrong with one that cannot be read.
    return loading.of_bgr(as_bgr(image)) if found is None else found


def put_picture(picture: np.ndarray, image: ImageLike, number: int, folder: str | PathLike | None) -> None:
    """Write a picture, under the name of its image where that is a file; numbers keep equal names apart."""
    if folder is not None:
        name = name_of(image)
        mmcv.imwrite(picture, str(Path(folder) / (f'{number:06d}_{name}.png' if name else f'{number:06d}.png')))


def finite_or_none(value: float) -> float | None:
    """JSON has no infinity and no NaN."""
    return value if math.isfinite(value) else None
