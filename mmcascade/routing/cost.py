# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Multiply-adds of what a stage really runs.

torch's FLOP counter reports two operations per multiply-add, and misses fused attention, so attention is counted on the
math backend, where it decomposes into matrix products. Element-wise work, normalisation and pooling are not
multiply-adds and are not counted.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils.flop_counter import FlopCounterMode

# Built-in operators that multiply and add in bulk but that torch's counter has no rule for.
_UNCOUNTED_ATEN = (
    '_native_multi_head_attention',
    '_transformer_encoder_layer_fwd',
    '_fused_sdp',
    '_scaled_dot_product',
    '_flash_attention',
    '_efficient_attention',
    'grid_sampler',
    '_cdist',
    '_embedding_bag',
    '_cudnn_rnn',
    'mkldnn_rnn',
    '_thnn_fused',
    'deform_conv',
)


def count_macs(function: Callable[..., Any], *args: Any) -> float:
    """Multiply-adds of ``function(*args)``, which really runs unless the arguments are fake tensors.

    Warns with the names of operators that multiply but cannot be counted.
    """
    counter = FlopCounterMode(display=False)
    with _math_attention(), torch.no_grad(), _Witness(counter) as witness, counter:
        function(*args)
    if witness.uncounted:
        warnings.warn(
            'the multiply-adds of these operators cannot be counted and are missing from the cost: '
            f'{", ".join(sorted(witness.uncounted))}. Give the stage its cost with macs=...',
            stacklevel=2,
        )
    return counter.get_total_flops() / 2


class MacCounter:
    """Multiply-adds of a function per row of its input, cached by the shape of a row.

    Counting runs the function on one fake row, which costs no arithmetic and no memory; a function whose control
    flow depends on values is run once on a real row of zeros instead.

    Args:
        function: what a stage runs on its rows.
        module: the network in it; its forward hooks sleep while counting, since they are there to see real rows.
    """

    def __init__(self, function: Callable[[Tensor], Any], module: nn.Module | None = None) -> None:
        self.function = function
        self.module = module
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
        mode = x.fake_mode if isinstance(x, FakeTensor) else FakeTensorMode(allow_non_fake_inputs=True)
        try:
            with mode:
                return count_macs(self.function, torch.empty(one, dtype=x.dtype, device=x.device))
        except Exception:  # data-dependent code raises many kinds of errors on fake tensors
            if isinstance(x, FakeTensor):
                raise
            return count_macs(self.function, torch.zeros(one, dtype=x.dtype, device=x.device))


@contextmanager
def _math_attention() -> Iterator[None]:
    fused_modules = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused_modules)


@contextmanager
def _no_autocast(device_type: str) -> Iterator[None]:
    """Autocast would keep its half-precision copies of the weights, fake ones, for the real run."""
    with (
        torch.autocast('cpu', enabled=False, cache_enabled=False),
        torch.autocast('cuda' if device_type == 'cpu' else device_type, enabled=False, cache_enabled=False),
    ):
        yield


@contextmanager
def _sleeping_hooks(module: nn.Module | None) -> Iterator[None]:
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


class _Witness(TorchDispatchMode):
    """Notes the operators that multiply without being counted."""

    def __init__(self, counter: FlopCounterMode) -> None:
        super().__init__()
        self.counted = counter.flop_registry
        self.uncounted: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        packet = getattr(func, '_overloadpacket', func)
        if packet not in self.counted:
            namespace, _, name = str(packet).partition('.')
            if namespace not in ('aten', 'prim', 'prims') or name.startswith(_UNCOUNTED_ATEN):
                self.uncounted.add(f'{namespace}::{name}')
        return func(*args, **(kwargs or {}))
