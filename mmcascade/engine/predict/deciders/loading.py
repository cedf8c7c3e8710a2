# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Files as the pipelines of OpenMMLab load them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import mmcv
import numpy as np
from mmengine.config import Config
from numpy.typing import NDArray

from mmcascade.engine.configs.datasets import pipelines, transform_names, type_name
from mmcascade.runtime import Failure

Made = TypeVar('Made')

#: What reads files in pipelines of OpenMMLab.
LOADING = 'LoadImageFromFile'


@dataclass(frozen=True)
class Loading:
    """How a pipeline's ``LoadImageFromFile`` reads files; members see what it gives.

    Attributes:
        color_type: 'color' for ``(H, W, 3)`` in the order BGR, 'grayscale' for ``(H, W)``; as the transform takes it.
        backend: that decodes files, likewise.
        to_float32: give float32 in place of uint8.
    """

    color_type: str = 'color'
    backend: str | None = 'cv2'
    to_float32: bool = False

    @classmethod
    def of(cls, pipeline: Sequence[Mapping[str, Any]]) -> Loading:
        """That of a pipeline; where it loads nothing, files are read as usual."""
        step = next((step for step in pipeline if type_name(step) == LOADING), {})
        own = {'color_type': 'color_type', 'imdecode_backend': 'backend', 'to_float32': 'to_float32'}
        return cls(**{own[key]: value for key, value in step.items() if key in own})

    def read(self, content: bytes) -> NDArray[Any] | None:
        """The image in the content of a file, or None if it is none."""
        found = mmcv.imfrombytes(content, flag=self.color_type, backend=self.backend) if content else None
        return None if found is None else self._typed(found)

    def of_bgr(self, image: NDArray[np.uint8]) -> NDArray[Any]:
        """What it would give of an image that lies in memory, ``(H, W, 3)`` in the order BGR."""
        grey = self.color_type.startswith('grayscale')
        return self._typed(mmcv.bgr2gray(image) if grey else image)

    def _typed(self, image: NDArray[Any]) -> NDArray[Any]:
        return image.astype(np.float32) if self.to_float32 else image


def load_image(image: Path | bytes, loading: Loading = Loading()) -> NDArray[Any]:
    """An image as a pipeline loads it.

    Args:
        image: path, or content of a file.
        loading: of the pipeline.

    Raises:
        ValueError, OSError: if it cannot be read.
    """
    content = image if isinstance(image, bytes) else image.read_bytes()
    name = 'it' if isinstance(image, bytes) else str(image)
    found = loading.read(content)
    if found is None:
        raise ValueError(f'{name} is no image, or cut off')
    return found


def after_loading(pipeline: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The transforms of a pipeline but those that load images and annotations."""
    return [dict(step) for step in pipeline if type_name(step) not in (LOADING, 'LoadAnnotations')]


def each(images: Sequence[Path | bytes], make: Callable[[int, Path | bytes], Made]) -> list[Made | Failure]:
    """What is made of each image and its place, or why nothing could be."""
    made: list[Made | Failure] = []
    for place, image in enumerate(images):
        try:
            made.append(make(place, image))
        except Exception as error:  # of any reader of images, for any broken file
            made.append(Failure(str(error) or type(error).__name__))
    return made


def pipeline_of(cfg: Config, path: Path) -> list[dict]:
    """The pipeline of a config's test data set.

    Raises:
        ValueError: if it has none, or one that loads something else than images.
    """
    found = pipelines((cfg.get('test_dataloader') or {}).get('dataset'))
    if not found:
        raise ValueError(f'{path} has no test_dataloader with a pipeline, so how images are prepared is not known')
    refuse_clips(found[0], str(path))
    return found[0]


def refuse_clips(pipeline: Sequence[Mapping[str, Any]], name: str) -> None:
    """Raise ValueError if a pipeline loads clips, which cannot be handed in one by one as images are.

    Args:
        pipeline: of a data set.
        name: of its config, for the message.
    """
    if 'LoadFrames' in transform_names(pipeline):
        raise ValueError(
            f'the cascade of {name} decides on clips (its pipeline has LoadFrames), and images are handed in here. '
            'Clips are decided on as a data set, by mmcascade test CONFIG --out F.pkl --out-item pred; or in Python, '
            'where mmcascade.Cascade and the router of a cascade take tensors (N, T, C, H, W)'
        )
