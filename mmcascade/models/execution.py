# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How a member's forward pass runs on its device."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmcascade.models.class_outputs import Scores, class_output, gives_logits
from mmcascade.routing import StageOutput

#: Arithmetic of a stage by the name that configs give it.
PRECISIONS = {'float16': torch.float16, 'bfloat16': torch.bfloat16, 'float32': torch.float32}

# Every batch size is a graph of its own, and members of one architecture share torch's count of them.
_GRAPHS = 64


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
        self.compiled = CompiledScores(module, execution.compile, execution.batch_size) if execution.compile else None

    def __call__(self, images: Tensor) -> StageOutput:
        x = preprocess(self.module, images)
        if self.execution.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        with self.execution.precision(x.device.type):
            return self.scores(self.module, x) if self.compiled is None else self.compiled(x)


def preprocess(module: nn.Module, images: Tensor) -> Tensor:
    """The images as the module's own data preprocessor leaves them, on its device.

    A module without one, such as a plain torch one, gets them as they are, on the device of its parameters.
    """
    if not isinstance(module, BaseModel):
        parameter = next(module.parameters(), None)
        return images if parameter is None else images.to(parameter.device)
    return module.data_preprocessor(dict(inputs=images), False)['inputs']


class CompiledScores:
    """Class scores of a compiled network, which sees a few batch sizes only.

    A network is compiled for each batch size by itself, so batches are padded to the next power of two (or to the full
    batch size), and the padding is cut off again: a new number of leftovers compiles nothing.

    Args:
        module: a classifier that gives logits.
        mode: True or a mode of :func:`torch.compile`.
        batch_size: of full batches; None if there is no such size.
    """

    def __init__(self, module: nn.Module, mode: bool | str, batch_size: int | None = None) -> None:
        if not gives_logits(module):
            raise ValueError(f'compile=True needs a member whose forward pass gives logits, but a '
                             f'{type(module).__name__} with this head only predicts probabilities; leave compile= out')
        self.module = module
        self.mode = mode
        self.batch_size = batch_size
        self.compiled: Callable[[Tensor], Tensor] | None = None
        self.failed = False
        self._proven: set[tuple] = set()

    def __call__(self, x: Tensor) -> StageOutput:
        if self.failed:
            return class_output(self.module, x)
        n = len(x)
        padded = pad_rows(x, padded_size(n, self.batch_size))
        key = (padded.shape, padded.dtype, torch.is_autocast_enabled(x.device.type))
        try:
            values = self._run(padded)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # compilers and their tool chains fail in many ways
            if key in self._proven:
                raise
            self._fall_back(error)
            return class_output(self.module, x)
        self._proven.add(key)
        return StageOutput(logits=values[:n])

    def _run(self, x: Tensor) -> Tensor:
        if self.compiled is None:
            self.compiled = self._compile(x.device.type)
        if x.device.type != 'cuda':
            return self.compiled(x)
        torch.compiler.cudagraph_mark_step_begin()
        return self.compiled(x).clone()  # the next replay of a CUDA graph writes over its output

    def _compile(self, device: str) -> Callable[[Tensor], Tensor]:
        limit = torch._dynamo.config.recompile_limit
        torch._dynamo.config.recompile_limit = max(limit, _GRAPHS)
        mode = self.mode if isinstance(self.mode, str) else 'reduce-overhead' if device == 'cuda' else 'default'
        module = self.module
        return torch.compile(lambda x: class_output(module, x).values, dynamic=False, mode=mode)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), 'compiled': None, '_proven': set()}  # a copy has weights of its own

    def _fall_back(self, error: Exception) -> None:
        self.failed = True
        reason = str(error).strip().splitlines() or ['']
        warnings.warn(f'{type(self.module).__name__} cannot be compiled here and runs uncompiled: '
                      f'{type(error).__name__}: {reason[0]}', stacklevel=2)


def padded_size(n: int, full: int | None = None) -> int:
    """The batch size that n rows are padded to: a power of two, or the full batch size if that is nearer."""
    power = 1 << (n - 1).bit_length()
    return power if full is None or n > full else min(power, full)


def pad_rows(x: Tensor, size: int) -> Tensor:
    """The rows of x, and its last one again and again up to ``size`` rows."""
    if len(x) == size:
        return x
    return torch.cat([x, x[-1:].expand(size - len(x), *x.shape[1:])])
