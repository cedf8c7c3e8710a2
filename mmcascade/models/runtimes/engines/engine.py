# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What runs graphs: its options, and how it opens one."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

#: An opened graph: raw images ``(N, 3, H, W)`` to class values ``(N, C, ...)``.
Session = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Engine(ABC):
    """A runtime for graphs, with its options. A variant opens graphs.

    Args:
        precision: arithmetic of the members, one of :attr:`precisions`. Other than float32, it is a network of its own,
            which is calibrated as such.
        threads: of a forward pass; None = as many as torch has.
        images: a file of raw images ``(N, 3, H, W)`` as the stage sees them (.npy), from which 'int8' takes its
            ranges. They are to be images of the calibration split, a hundred or so.

    Raises:
        ValueError: on an unknown precision, threads below 1, or 'int8' without images or images without it.
    """

    precision: str = 'float32'
    threads: int | None = None
    images: str | None = None

    #: As configs name it, which is also the library that it needs and the extra that brings that.
    name: ClassVar[str]
    extra: ClassVar[str]
    precisions: ClassVar[tuple[str, ...]]

    def __post_init__(self) -> None:
        if self.precision not in self.precisions:
            raise ValueError(f'precision of runtime {self.name!r} is one of {self.precisions}, got {self.precision!r}')
        if self.threads is not None and (not isinstance(self.threads, int) or self.threads < 1):
            raise ValueError(f'threads of runtime {self.name!r} is a whole number >= 1 or None, got {self.threads!r}')
        if (self.precision == 'int8') != (self.images is not None):
            raise ValueError(
                f"precision 'int8' of runtime {self.name!r} takes the ranges of its numbers from images='FILE.npy', "
                'raw images of the calibration split (tools/stage_images.py writes them); other precisions take none'
            )

    @property
    def exact(self) -> bool:
        """Whether it computes what torch computes, up to rounding."""
        return self.precision == 'float32'

    @property
    def arithmetic(self) -> str:
        """What scores depend on, for the identity of a calibration: 'bfloat16 in openvino'."""
        ranges = f' (images {self.images_fingerprint})' if self.images is not None else ''
        return f'{self.precision} in {self.name}{ranges}'

    @cached_property
    def images_fingerprint(self) -> str:
        """Tells the images that int8 was fitted on from others."""
        assert self.images is not None
        return hashlib.sha256(Path(self.images).read_bytes()).hexdigest()[:8]

    @property
    def number_of_threads(self) -> int:
        """How many threads it uses."""
        return self.threads or torch.get_num_threads()

    def calibration_images(self, shape: tuple[int, ...]) -> np.ndarray:
        """The images for 'int8'.

        Raises:
            ValueError: if they are not of this shape.
        """
        assert self.images is not None
        images = np.load(self.images)
        if images.ndim != 4 or images.shape[1:] != shape or not len(images):
            raise ValueError(
                f'{self.images} holds {images.shape}, but the stage sees images of (N, {", ".join(map(str, shape))}); '
                'write the file for this stage with tools/stage_images.py'
            )
        return images

    def check_installed(self) -> None:
        """Raise ValueError where the library is missing."""
        try:
            self.version()
        except ImportError as error:
            raise ValueError(
                f'runtime {self.name!r} cannot be used ({error}): pip install "mmcascade[{self.extra}]"'
            ) from error

    @abstractmethod
    def version(self) -> str:
        """Of the library; raises ImportError where that is missing."""

    @abstractmethod
    def open(self, graph: Path, batch: int | None) -> Session:
        """Load a graph.

        Args:
            graph: an ONNX file, in int8 a quantised one.
            batch: the number of rows that it will get every time; None = any.
        """

    @property
    def fixes_batch(self) -> bool:
        """Whether graphs are opened for fixed numbers of rows although they take any."""
        return False

    def __str__(self) -> str:
        return self.name if self.exact else f'{self.name} {self.precision}'
