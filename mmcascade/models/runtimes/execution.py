# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The options of a stage that change its speed."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

#: Arithmetic of a stage by the name that configs give it.
PRECISIONS = {'float16': torch.float16, 'bfloat16': torch.bfloat16, 'float32': torch.float32}


@dataclass(frozen=True)
class Execution:
    """The options of a stage that change its speed but, up to rounding, not its scores.

    Args:
        channels_last: keep weights and images in the memory order that convolutions prefer on most devices.
        amp: 'float16', 'bfloat16' or 'float32' for this stage; None = as the test runs (``--amp``).
        compile: True, or a mode of :func:`torch.compile`. True means CUDA graphs on a GPU.
    """

    channels_last: bool = False
    amp: str | None = None
    compile: bool | str = False

    def precision(self, device: str) -> AbstractContextManager[Any]:
        """The context for the forward pass on a type of device."""
        if self.amp is None:
            return nullcontext()
        dtype = PRECISIONS[self.amp]
        return torch.autocast(device, dtype=dtype, enabled=dtype is not torch.float32)
