# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What both inferencers do, whichever library their members are from."""

from __future__ import annotations

import math
from os import PathLike
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
from mmengine.config import Config

from mmcascade.apis.inferencers.images import ImageLike, as_bgr, name_of
from mmcascade.engine.configs.datasets import pipeline_owners


def innermost_dataset(cfg: Config) -> Any:
    """The config of the test data set inside of its wrappers, which has the pipeline."""
    return pipeline_owners(cfg.test_dataloader.dataset)[0]


def loaded(image: ImageLike) -> dict[str, Any]:
    """What a pipeline gets in place of ``LoadImageFromFile``."""
    array = as_bgr(image)
    fields = dict(img=array, img_shape=array.shape[:2], ori_shape=array.shape[:2])
    return fields | (dict(img_path=str(image)) if isinstance(image, str | PathLike) else {})


def put_picture(picture: np.ndarray, image: ImageLike, number: int, folder: str | PathLike | None) -> None:
    """Write a picture, under the name of its image where that is a file; numbers keep equal names apart."""
    if folder is not None:
        name = name_of(image)
        mmcv.imwrite(picture, str(Path(folder) / (f'{number:06d}_{name}.png' if name else f'{number:06d}.png')))


def finite_or_none(value: float) -> float | None:
    """JSON has no infinity and no NaN."""
    return value if math.isfinite(value) else None
