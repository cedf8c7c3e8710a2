# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The options of a stage that change its speed."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from mmcascade.models.runtimes.engines import Engine, engine_from

#: Arithmetic of a stage by the name that configs give it.
PRECISIONS = {'float16': torch.float16, 'bfloat16': torch.bfloat16, 'float32': torch.float32}


@dataclass(frozen=True)
class Execution:
    """The options of a stage that change its speed but, up to rounding, not its scores.

    Args:
        channels_last: keep weights and images in the memory order that convolutions prefer on most devices.
        amp: 'float16', 'bfloat16' or 'float32' for this stage; None = as the test runs (``--amp``).
        compile: True, or a mode of :func:`torch.compile`. True means CUDA graphs on a GPU.
        runtime: what runs the member as a graph, in place of torch: a name, a dict, or an engine, see
            :func:`~mmcascade.models.runtimes.engines.engine_from`; None = torch.
    """

    channels_last: bool = False
    amp: str | None = None
    compile: bool | str = False
    runtime: Engine | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, 'runtime', engine_from(self.runtime))

    def arithmetic(self, device: str) -> str:
        """What the scores depend on besides weights and images, in words: 'float32', or 'bfloat16 in openvino'."""
        if self.runtime is not None:
            return self.runtime.arithmetic
        outer = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32
        return self.amp or str(outer).removeprefix('torch.')

    @property
    def other_arithmetic(self) -> str | None:
        """The same where it makes the member another network, whose scores are no rounding of torch's."""
        return None if self.runtime is None or self.runtime.exact else self.runtime.arithmetic

    def precision(self, device: str) -> AbstractContextManager[Any]:
        """The context for the forward pass on a type of device."""
        if self.amp is None:
            return nullcontext()
        dtype = PRECISIONS[self.amp]
        return torch.autocast(device, dtype=dtype, enabled=dtype is not torch.float32)
