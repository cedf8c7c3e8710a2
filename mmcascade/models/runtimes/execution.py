# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How a member's forward pass runs on its device."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmcascade.models.runtimes.compiled_network import CompiledNetwork, Network
from mmcascade.models.stages.class_outputs import Scores, class_output, class_values, gives_logits
from mmcascade.routing import StageOutput

#: Arithmetic of a stage by the name that configs give it.
PRECISIONS = {'float16': torch.float16, 'bfloat16': torch.bfloat16, 'float32': torch.float32}


@dataclass(frozen=True)
class Execution:
    """The options of a stage that change its speed but, up to rounding, not its scores.

    Args:
        channels_last: keep weights and images in the memory order that convolutions prefer on most devices.
        amp: 'float16', 'bfloat16' or 'float32' for this stage; None = as the test runs (``--amp``).
        compile: True, or a mode of :func:`torch.compile`. True means CUDA graphs on a GPU.
        batch_size: of the full batches, which are never padded.
    """

    channels_last: bool = False
    amp: str | None = None
    compile: bool | str = False
    batch_size: int | None = None

    def precision(self, device: str) -> AbstractContextManager[Any]:
        """The context for the forward pass on a type of device."""
        if self.amp is None:
            return nullcontext()
        dtype = PRECISIONS[self.amp]
        return torch.autocast(device, dtype=dtype, enabled=dtype is not torch.float32)

    def compiled(self, module: nn.Module, run: Network) -> CompiledNetwork | None:
        """The network compiled as asked for, or None."""
        return CompiledNetwork(module, run, self.compile, self.batch_size) if self.compile else None


class Forward:
    """Raw images ``(N, 3, H, W)`` to class scores: a member's own preprocessing and its forward pass.

    Only the given rows are normalised and moved to the member's device.

    Args:
        module: the member. Its weights change their memory order with ``channels_last``, for all its stages.
        execution: how it runs.
        scores: what is taken from the module.

    Raises:
        ValueError: if the module is to be compiled but gives no logits, or is to give more than them.
    """

    def __init__(self, module: nn.Module, execution: Execution, scores: Scores = class_output) -> None:
        self.module = module
        self.execution = execution
        self.scores = scores
        if execution.compile and scores is not class_output:
            raise ValueError('compile= serves class scores only; leave it out where the confidence reads features')
        if execution.channels_last:
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if execution.compile and not gives_logits(module):
            raise ValueError(
                f'compile=True needs a member whose forward pass gives logits, but a '
                f'{type(module).__name__} with this head only predicts probabilities; leave compile= out'
            )
        self.compiled = execution.compiled(module, class_values)

    def __call__(self, images: Tensor) -> StageOutput:
        x = preprocess(self.module, images)
        if self.execution.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        with self.execution.precision(x.device.type):
            return self.scores(self.module, x) if self.compiled is None else StageOutput(logits=self.compiled(x))


def preprocess(module: nn.Module, images: Tensor) -> Tensor:
    """The images as the module's own data preprocessor leaves them, on its device.

    A module without one, such as a plain torch one, gets them as they are, on the device of its parameters.
    """
    if not isinstance(module, BaseModel):
        parameter = next(module.parameters(), None)
        return images if parameter is None else images.to(parameter.device)
    return module.data_preprocessor(dict(inputs=images), False)['inputs']
