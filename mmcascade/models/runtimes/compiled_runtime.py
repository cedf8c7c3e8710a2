# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A member run by torch, compiled for a few batch sizes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmcascade.models.runtimes.execution import Execution
from mmcascade.models.runtimes.networks.network import Network, Prepared
from mmcascade.models.runtimes.torch_runtime import TorchRuntime
from mmcascade.routing import StageOutput

# Every batch size is a graph of its own, and members of one architecture share torch's count of them.
_GRAPHS = 64


class CompiledRuntime(TorchRuntime):
    """The scores of a compiled network, which sees a few batch sizes only.

    A network is compiled for each batch size by itself, so batches are padded to the next power of two (or to the full
    batch size), and the padding is cut off again: each of these few sizes is compiled once, when it first comes.

    Args:
        network: of the member.
        execution: ``compile`` is True or a mode of :func:`torch.compile`.

    Raises:
        ValueError: if the network gives no logits, or more than them.
    """

    def __init__(self, network: Network, execution: Execution, member: str = 'member') -> None:
        super().__init__(network, execution, member)
        if network.gives_features:
            raise ValueError('compile= serves class scores only; leave it out where the confidence reads features')
        if not network.gives_logits:
            raise ValueError(
                f'compile=True needs a member whose forward pass gives logits, but a '
                f'{type(network.module).__name__} with this head only predicts probabilities; leave compile= out'
            )
        self.compiled: Callable[[Tensor], Tensor] | None = None
        self.failed = False
        self._proven: set[tuple] = set()

    def run_prepared(self, prepared: Prepared, full: int | None) -> StageOutput:
        """Run images that are prepared."""
        return self.network.output(self.values(prepared.inputs, full), prepared)

    def values(self, x: Tensor, full: int | None = None) -> Tensor:
        """The scores of prepared inputs ``(N, C, H, W)``; uncompiled, after one warning, where compiling fails."""
        if self.failed:
            return self.network.values(x)
        n = len(x)
        padded = pad_rows(x, padded_size(n, full))
        key = (padded.shape, padded.dtype, torch.is_autocast_enabled(x.device.type))
        try:
            values = self._run_compiled(padded)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # compilers and their tool chains fail in many ways
            if key in self._proven:
                raise
            self._fall_back(error)
            return self.network.values(x)
        self._proven.add(key)
        return values[:n]

    def _run_compiled(self, x: Tensor) -> Tensor:
        if self.compiled is None:
            self.compiled = self._compile(x.device.type)
        if x.device.type != 'cuda':
            return self.compiled(x)
        torch.compiler.cudagraph_mark_step_begin()
        return self.compiled(x).clone()  # the next replay of a CUDA graph writes over its output

    def _compile(self, device: str) -> Callable[[Tensor], Tensor]:
        limit = torch._dynamo.config.recompile_limit
        torch._dynamo.config.recompile_limit = max(limit, _GRAPHS)
        asked = self.execution.compile
        mode = asked if isinstance(asked, str) else 'reduce-overhead' if device == 'cuda' else 'default'
        network = self.network
        return torch.compile(lambda x: network.values(x), dynamic=False, mode=mode)  # noqa: PLW0108  hides self from dynamo

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), 'compiled': None, '_proven': set()}  # a copy has weights of its own

    def _fall_back(self, error: Exception) -> None:
        self.failed = True
        reason = str(error).strip().splitlines() or ['']
        warnings.warn(
            f'{type(self.network.module).__name__} cannot be compiled here and runs uncompiled: '
            f'{type(error).__name__}: {reason[0]}',
            stacklevel=2,
        )


def padded_size(n: int, full: int | None = None) -> int:
    """The batch size that n rows are padded to: a power of two, or the full batch size if that is nearer."""
    power = 1 << (n - 1).bit_length()
    return power if full is None or n > full else min(power, full)


def pad_rows(x: Tensor, size: int) -> Tensor:
    """The rows of x, and its last one again and again up to ``size`` rows."""
    if len(x) == size:
        return x
    return torch.cat([x, x[-1:].expand(size - len(x), *x.shape[1:])])
