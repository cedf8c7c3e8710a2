# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Multiply-adds of a call.

Fused attention hides its products, so it is counted on the math backend, where it decomposes into matrix products.
Element-wise work, normalisation and pooling are not multiply-adds and are not counted.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from mmcascade.routing.cost.blanks import blank_of
from mmcascade.routing.cost.operators import MacRule, multiplies_uncounted, qualified_name, rule_of


def count_macs(function: Callable[..., Any], *args: Any) -> float:
    """Multiply-adds of ``function(*args)``, which really runs unless the arguments hold no values.

    Warns with the names of operators that multiply but cannot be counted.
    """
    with _math_attention(), torch.no_grad(), _Counting() as counting:
        function(*args)
    if counting.uncounted:
        warnings.warn(
            'the multiply-adds of these operators cannot be counted and are missing from the cost: '
            f'{", ".join(sorted(counting.uncounted))}. Give the stage its cost with macs=..., or the operators theirs '
            'with mmcascade.routing.register_macs',
            stacklevel=2,
        )
    return counting.macs


class _Counting(TorchDispatchMode):
    """Adds up what the operators that pass by multiply.

    torch's own FlopCounterMode would do, but it also hooks the gradients of every module's inputs, which networks
    whose class token is a view of a parameter do not survive, and which takes a third of the time.
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()
        self.macs = 0.0
        self.uncounted: set[str] = set()
        self._rules: dict[Any, MacRule | None] = {}
        self._whole: set[Any] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func not in self._rules:
            self._rules[func] = rule_of(func)
        rule = self._rules[func]
        if rule is None and (blank := blank_of(func, args, kwargs)) is not NotImplemented:
            return blank
        # Under inference_mode, operators that consist of others arrive whole.
        if rule is None and func not in self._whole and getattr(func, 'namespace', 'prim') != 'prim':
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
            self._whole.add(func)
        output = func(*args, **kwargs)
        if rule is not None:
            self.macs += float(rule(*args, output=output, **kwargs))
        elif multiplies_uncounted(func):
            self.uncounted.add(qualified_name(func))
        return output


@contextmanager
def _math_attention() -> Iterator[None]:
    fused_modules = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused_modules)
