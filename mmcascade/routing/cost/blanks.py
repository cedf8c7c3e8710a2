# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What some operators give for tensors without values, found at once.

Where tensors hold no values, torch takes these operators apart and works out shapes and types of all parts in Python,
which takes up to hundreds of times as long as a convolution. None of them multiplies in bulk, and what they give is
known from their arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._prims_common import suggest_memory_format
from torch._subclasses.fake_tensor import FakeTensor

_FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def blank_of(operator: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """The output of an operator without its values; NotImplemented if torch has to be asked, or values are there."""
    blank = _BLANKS.get(operator)
    if blank is None or not args or not isinstance(x := args[0], Tensor) or x.dtype not in _FLOATS:
        return NotImplemented
    if not isinstance(x, FakeTensor) and x.device.type != 'meta':
        return NotImplemented
    return blank(*args, **kwargs)


def _same(x: Tensor, *_: Any, **__: Any) -> Tensor:
    return torch.empty_like(x)


def _batch_norm(x: Tensor, *args: Any) -> Any:
    # weight, bias, mean, var, whether in training, momentum, epsilon
    if len(args) != 7 or args[4] or not x.is_contiguous(memory_format=suggest_memory_format(x)):
        return NotImplemented
    return torch.empty_like(x), x.new_empty(0), x.new_empty(0)


def _batch_norm_no_training(x: Tensor, *args: Any) -> Any:
    return _batch_norm(x, *args[:4], False, *args[4:])


def _layer_norm(x: Tensor, shape: Sequence[int], *_: Any) -> Any:
    if x.dtype not in (torch.float32, torch.float64) or not x.is_contiguous():
        return NotImplemented
    kept = x.dim() - len(shape)
    of_rows = (*x.shape[:kept], *(1 for _ in shape))
    return torch.empty_like(x), x.new_empty(of_rows), x.new_empty(of_rows)


def _enlarged(x: Tensor, size: Sequence[int], *_: Any) -> Any:
    if x.dim() != 4 or len(size) != 2:
        return NotImplemented
    return torch.empty((*x.shape[:2], *size), dtype=x.dtype, device=x.device, memory_format=suggest_memory_format(x))


_BLANKS: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.native_batch_norm.default: _batch_norm,
    torch.ops.aten._native_batch_norm_legit_no_training.default: _batch_norm_no_training,
    torch.ops.aten.native_layer_norm.default: _layer_norm,
    torch.ops.aten.upsample_bilinear2d.default: _enlarged,
    torch.ops.aten.upsample_bicubic2d.default: _enlarged,
    **dict.fromkeys(
        (
            torch.ops.aten.relu.default,
            torch.ops.aten.gelu.default,
            torch.ops.aten.hardswish.default,
            torch.ops.aten.hardsigmoid.default,
        ),
        _same,
    ),
}
