# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The network that a graph stands for, at images of one shape."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import Tensor

from mmcascade.calibration.stores.fingerprints import fingerprint, module_fingerprint
from mmcascade.models.runtimes.graphs.agreement import Difference, difference
from mmcascade.models.runtimes.graphs.export import OPSET
from mmcascade.models.runtimes.graphs.graph_cache import SCHEMA
from mmcascade.models.runtimes.networks.network import Network

_WRITERS = ('torch', 'onnx', 'onnxscript')


@dataclass(frozen=True)
class Subject:
    """A network and the images that it gets.

    Attributes:
        name: of the member, for messages.
        network: what is computed.
        shape: of a raw image, ``(3, H, W)``.
        dtype: of raw images.
    """

    name: str
    network: Network
    shape: tuple[int, ...]
    dtype: torch.dtype

    def __str__(self) -> str:
        return f'member {self.name!r} on images of {" x ".join(map(str, self.shape[1:]))}'

    @property
    def row_counts(self) -> tuple[int, ...]:
        """Numbers of rows at which a graph that takes any is compared with torch."""
        return (1, 2, 3) if self.network.maps else (1, 2, 3, 5)

    def key(self, rows: int | None) -> str:
        """A name for everything that its graph for so many rows depends on."""
        module = self.network.module
        what: list[Any] = [
            SCHEMA,
            module_fingerprint(module),
            type(self.network).__name__,
            getattr(module, 'test_cfg', None),
            getattr(getattr(module, 'data_preprocessor', None), 'test_cfg', None),  # how it pads
            self.shape,
            self.dtype,
            rows,
            OPSET,
            *map(_version, _WRITERS),
        ]
        return fingerprint(repr(each).encode() for each in what)

    @torch.no_grad()
    def reference(self, images: Tensor) -> Tensor:
        """Class values as torch gives them, in float32, on the host."""
        with torch.autocast(images.device.type, enabled=False):
            return self.network.graph_reference(images).float().cpu()

    def difference(self, values: Tensor, reference: Tensor) -> Difference:
        """How far values lie from those of the network."""
        return difference(values, reference, self.network.gives_logits)


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return 'none'
