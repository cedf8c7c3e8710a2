# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Multiply-adds of a member per row of its input, without touching the member."""

from __future__ import annotations

import copy
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes

from mmcascade.routing.cost.count import count_macs


class MacCounter:
    """Multiply-adds of a function per row of its input, cached by the shape of a row.

    Counting runs the function on one row without values, on a copy of the module that holds no weights. That costs no
    arithmetic and next to no memory, and nothing that a network keeps of a run (biases gathered for a size, position
    tables) stays in the member. A function that needs values is run once on a real row of zeros instead, as a test
    would run it.

    Args:
        function: ``function(module, rows)``, what a stage runs on its rows; without ``module``, ``function(rows)``, and
            only a ``function`` that is itself a module is copied.
        module: the network in it; its forward hooks do not see what is counted, since they are there for real rows.
    """

    def __init__(self, function: Callable[..., Any], module: nn.Module | None = None) -> None:
        self.function = function
        self.module = module
        if module is None and isinstance(function, nn.Module):
            self.function, self.module = _call, function
        self.by_shape: dict[tuple[int, ...], float] = {}

    def __call__(self, x: Tensor) -> float:
        """Multiply-adds per row of ``x``, ``(N, ...)`` with any N."""
        shape = tuple(x.shape[1:])
        if shape not in self.by_shape:
            # The count must stay invisible to modes of the caller, a FLOP counter above all.
            with _disable_current_modes(), _no_autocast(x.device.type), _sleeping_hooks(self.module):
                self.by_shape[shape] = self._count(x)
        return self.by_shape[shape]

    def _count(self, x: Tensor) -> float:
        one = (1, *x.shape[1:])
        if isinstance(x, FakeTensor):  # the caller's own fake world, members included
            with x.fake_mode:
                return self._run(self.module, torch.empty(one, dtype=x.dtype, device=x.device))
        with _quiet_torch():
            # Tensors without values on no device are fastest, and none of them fits in a cache by device; networks
            # that make tensors on a device of their choice need fake ones.
            for count in (self._on_fake,) if self.module is None else (self._on_meta, self._on_fake):
                try:
                    return count(one, x)
                except Exception:  # noqa: S112  what needs values fails in many ways without them
                    continue
        return self._run(self.module, torch.zeros(one, dtype=x.dtype, device=x.device))

    def _on_meta(self, one: Sequence[int], x: Tensor) -> float:
        with _MetaCopy():
            module = copy.deepcopy(self.module)
        assert module is not None
        module.to('meta')  # tells preprocessors where their images are
        return self._run(module, torch.empty(one, dtype=x.dtype, device='meta'))

    def _on_fake(self, one: Sequence[int], x: Tensor) -> float:
        mode = FakeTensorMode(allow_non_fake_inputs=True)
        with FakeCopyMode(mode):
            module = copy.deepcopy(self.module)
        with mode:
            return self._run(module, torch.empty(one, dtype=x.dtype, device=x.device))

    def _run(self, module: nn.Module | None, row: Tensor) -> float:
        return count_macs(self.function, row) if module is None else count_macs(self.function, module, row)


def _call(module: nn.Module, rows: Tensor) -> Any:
    return module(rows)


class _MetaCopy(TorchFunctionMode):
    """Copies of tensors made inside have their shape, type and strides, and no values."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.Tensor.__deepcopy__:
            tensor, memo = args
            if id(tensor) not in memo:
                memo[id(tensor)] = _on_meta(tensor)
            return memo[id(tensor)]
        with torch._C.DisableTorchFunctionSubclass():
            # Parameters copy themselves by cloning what they hold.
            return _on_meta(args[0]) if func is torch.Tensor.clone else func(*args, **kwargs)


def _on_meta(tensor: Tensor) -> Tensor:
    with torch._C.DisableTorchFunctionSubclass():
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device='meta')


@contextmanager
def _quiet_torch() -> Iterator[None]:
    """What torch logs of operators that fail without values is expected here."""
    loggers = [logging.getLogger(name) for name in ('torch._subclasses.fake_tensor', 'torch._subclasses')]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled


@contextmanager
def _no_autocast(device_type: str) -> Iterator[None]:
    """Autocast would keep its half-precision copies of the weights for the real run."""
    with (
        torch.autocast('cpu', enabled=False, cache_enabled=False),
        torch.autocast('cuda' if device_type == 'cpu' else device_type, enabled=False, cache_enabled=False),
    ):
        yield


@contextmanager
def _sleeping_hooks(module: nn.Module | None) -> Iterator[None]:
    """Neither called nor copied: a hook may hold on to anything."""
    awake = [
        (part, part._forward_hooks, part._forward_pre_hooks) for part in ([] if module is None else module.modules())
    ]
    for part, *_ in awake:
        part._forward_hooks, part._forward_pre_hooks = OrderedDict(), OrderedDict()
    try:
        yield
    finally:
        for part, hooks, pre_hooks in awake:
            part._forward_hooks, part._forward_pre_hooks = hooks, pre_hooks
