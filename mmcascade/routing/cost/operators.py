# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How many multiply-adds an operator makes, and which operators make some that nobody can count.

torch brings rules for matrix products, convolutions and attention. Here are those that it lacks, and the place for a
user's own. What multiplies in bulk and has no rule is named in a warning, never counted as nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry

#: ``rule(*arguments, output=..., **keywords)``: multiply-adds of one call, from an operator's arguments and output.
#: Of tensors only shape and type may be read; they hold no values.
MacRule = Callable[..., float]
_Rule = TypeVar('_Rule', bound=MacRule)

_OWN: dict[str, MacRule] = {}


def register_macs(operator: str) -> Callable[[_Rule], _Rule]:
    """Decorator that gives an operator its multiply-adds, in place of the rule that it has, if any.

    Args:
        operator: its qualified name without the overload, such as 'mylib::attention'. It need not exist yet.

    Returns:
        A decorator for the rule, see :data:`MacRule`; it returns the rule as it is.

    Raises:
        ValueError: If the name is not of the form 'namespace::name'.

    Example:
        >>> @register_macs('mylib::project')
        ... def project(x, weight, *, output):
        ...     return output.numel() * x.shape[-1]
    """
    if not isinstance(operator, str) or not re.fullmatch(r'\w+::\w+', operator):
        raise ValueError(f"an operator is named like 'mylib::project', without its overload, got {operator!r}")

    def keep(rule: _Rule) -> _Rule:
        _OWN[operator] = rule
        return rule

    return keep


def rule_of(operator: Any) -> MacRule | None:
    """The rule for an operator of torch as a dispatch mode sees it, or None."""
    name = qualified_name(operator)
    # What works in place does the same work.
    base = name.removesuffix('_')
    own = _OWN.get(name) or _OWN.get(base) or _RULES.get(base)
    if own is not None:
        return own
    packet = getattr(operator, '_overloadpacket', operator)
    if packet not in flop_registry and base != name and name.startswith('aten::'):
        packet = getattr(torch.ops.aten, base.partition('::')[2], packet)
    if packet not in flop_registry:
        return None
    formula = flop_registry[packet]

    def by_torch(*args: Any, output: Any, **kwargs: Any) -> float:
        # Two operations per multiply-add; a complex one is four real ones.
        flops: float = formula(*args, **kwargs, out_val=output)
        return flops / 2 * _reals(output)

    return by_torch


def multiplies_uncounted(operator: Any) -> bool:
    """Whether an operator without a rule may multiply in bulk: whatever is not torch's own, and some of torch's."""
    namespace, _, name = qualified_name(operator).partition('::')
    return namespace not in ('aten', 'prim', 'prims') or _BULK.search(name) is not None


def qualified_name(operator: Any) -> str:
    """'namespace::name' of an operator, without its overload; 'higher_order::name' of an operator on functions."""
    packet = getattr(operator, '_overloadpacket', None)
    if packet is None:
        return f'higher_order::{operator.name() if hasattr(operator, "name") else operator}'
    return str(packet._qualified_op_name)


# torch's operators that multiply and add in bulk; of those with a rule the name does not matter.
_BULK = re.compile(
    r'mm($|_)|matmul|(^|_)linear$|conv(?!ert)|attention|encoder_layer|(?<!fused_)(rnn|lstm|gru)(?!_cell)|_fft_|'
    r'grid_sampler|_[cp]dist_forward|_euclidean_dist|embedding_bag|trilinear$|^_compute_linear_combination|_spsolve|'
    r'linalg_(?!vector_norm|cross|_powsum|check)|cholesky|geqrf|ormqr|triangular_solve'
)


def _first(output: Any) -> Tensor:
    return output if isinstance(output, Tensor) else output[0]


def _reals(output: Any) -> int:
    return 4 if _first(output).is_complex() else 1


def _product(a: Tensor, *_: Any, output: Tensor, **__: Any) -> float:
    return output.numel() * a.shape[-1] * _reals(output)


def _added_product(_: Tensor, a: Tensor, b: Tensor, *__: Any, output: Tensor, **___: Any) -> float:
    # addmv, addbmm: the batch of addbmm is summed up, so the output does not show it.
    return a.numel() * (b.shape[-1] if b.dim() > 1 else 1) * _reals(output)


def _dot(a: Tensor, *_: Any, output: Tensor, **__: Any) -> float:
    return a.numel() * _reals(output)


def _outer(*_: Any, output: Tensor, **__: Any) -> float:
    return output.numel() * _reals(output)


def _trilinear(
    a: Tensor,
    b: Tensor,
    c: Tensor,
    expand1: Sequence[int],
    expand2: Sequence[int],
    expand3: Sequence[int],
    *_: Any,
    output: Tensor,
    **__: Any,
) -> float:
    # Three tensors, given common dimensions by the expansions, are multiplied point by point and summed.
    shapes = []
    for tensor, expanded in ((a, expand1), (b, expand2), (c, expand3)):
        shape = list(tensor.shape)
        for dim in expanded:
            shape.insert(dim, 1)
        shapes.append(shape)
    return math.prod(map(max, zip(*shapes, strict=True))) * _reals(output)


def _convolution(_: Tensor, weight: Tensor, *__: Any, output: Any, **___: Any) -> float:
    return _first(output).numel() * math.prod(weight.shape[1:])


def _transposed_convolution(x: Tensor, weight: Tensor, *_: Any, output: Any, **__: Any) -> float:
    return x.numel() * math.prod(weight.shape[1:])


def _convolution_tbc(_: Tensor, weight: Tensor, *__: Any, output: Tensor, **___: Any) -> float:
    return output.numel() * weight.shape[0] * weight.shape[1]


def _fft(x: Tensor, dim: Sequence[int], *_: Any, output: Tensor, **__: Any) -> float:
    # 5 N log2 N real operations for N complex points (Van Loan, Computational Frameworks for the Fast Fourier
    # Transform, 1992, section 1.4), half of them where one side is real.
    points = x if not x.is_complex() else output
    half = 1 if x.is_complex() and output.is_complex() else 2
    n = math.prod(points.shape[d] for d in dim)
    return points.numel() * 5 * math.log2(n) / 2 / half if n > 1 else 0.0


def _cdist(a: Tensor, b: Tensor, *_: Any, output: Tensor, **__: Any) -> float:
    return output.numel() * a.shape[-1]


def _mkldnn_rnn(x: Tensor, to_input: Tensor, to_hidden: Tensor, *_: Any, **__: Any) -> float:
    # One layer in one direction; x is (time, batch, features) or (batch, time, features).
    return x.shape[0] * x.shape[1] * (to_input.numel() + to_hidden.numel())


def _cudnn_rnn(x: Tensor, weights: Sequence[Tensor], *_: Any, **__: Any) -> float:
    # Every matrix of every layer and direction, once per step; x is packed (steps, features) or has three dimensions.
    return math.prod(x.shape[:-1]) * sum(weight.numel() for weight in weights if weight.dim() > 1)


def _affine_grid(theta: Tensor, *_: Any, output: Tensor, **__: Any) -> float:
    return output.numel() * theta.shape[-1]


_RULES: dict[str, MacRule] = {
    **dict.fromkeys(('aten::mv', 'aten::linear', 'aten::mkldnn_linear', 'aten::_int_mm'), _product),
    'aten::_weight_int8pack_mm': _product,
    **dict.fromkeys(('aten::addmv', 'aten::addbmm', 'aten::_addmm_activation'), _added_product),
    **dict.fromkeys(('aten::dot', 'aten::vdot'), _dot),
    **dict.fromkeys(('aten::addr', 'aten::ger'), _outer),
    'aten::_trilinear': _trilinear,
    **dict.fromkeys(
        (
            'aten::mkldnn_convolution',
            'aten::miopen_convolution',
            'aten::miopen_depthwise_convolution',
            'aten::cudnn_convolution_relu',
            'aten::cudnn_convolution_add_relu',
            'aten::_conv_depthwise2d',
            'aten::conv_depthwise3d',
            'aten::slow_conv3d_forward',
            'aten::slow_conv_dilated2d',
            'aten::slow_conv_dilated3d',
            'aten::_nnpack_spatial_convolution',
            'torchvision::deform_conv2d',
        ),
        _convolution,
    ),
    **dict.fromkeys(('aten::slow_conv_transpose2d', 'aten::slow_conv_transpose3d'), _transposed_convolution),
    'aten::cudnn_convolution_transpose': _transposed_convolution,
    'aten::conv_tbc': _convolution_tbc,
    **dict.fromkeys(('aten::_fft_r2c', 'aten::_fft_c2r', 'aten::_fft_c2c'), _fft),
    'aten::_cdist_forward': _cdist,
    'aten::_euclidean_dist': _cdist,
    'aten::mkldnn_rnn_layer': _mkldnn_rnn,
    'aten::_cudnn_rnn': _cudnn_rnn,
    'aten::affine_grid_generator': _affine_grid,
}
