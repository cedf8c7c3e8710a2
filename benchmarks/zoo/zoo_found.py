# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What is found of a network: a status with its reason, the ratio of two counts, and what a count left behind."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from zoo_networks import run

from mmcascade.models.members.members import build_member
from mmcascade.models.members.other_tasks import other_task_of_config

Found = dict[str, Any]


def found(status: str, reason: str = '', **numbers: Any) -> Found:
    return {'status': status, 'reason': reason, **numbers}


def refused(model: str | Mapping[str, Any]) -> str | None:
    """Why it cannot be a member, if so."""
    try:
        build_member('a', model)
    except (ValueError, FileNotFoundError) as error:
        return str(error).splitlines()[0][:300]
    return None


def not_built(model: str | Mapping[str, Any], library: str) -> Found:
    """What the library cannot build, we may refuse for a better reason."""
    reason = refused(model)
    clear = reason is not None and 'cannot take part' in reason
    return found('refused', reason or '') if clear else found('library', library)


def too_large(config: Mapping[str, Any]) -> Found:
    """What is above the bounds is not run, but models of other tasks are refused before they are built."""
    reason = other_task_of_config(config)
    return found('large') if reason is None else found('refused', f'cannot take part in a cascade, {reason}')


def macs_ratio(macs: float, module: nn.Module, image: Tensor) -> float | None:
    """Our count over torch's for one real row."""
    module = copy.deepcopy(module)
    for parameter in module.parameters():
        parameter.requires_grad_(False)  # torch's counter hooks gradients, which some networks do not survive
    real = _real_macs(lambda: run(module, image))
    return macs / real if real else None


def leftovers(cascade: nn.Module) -> list[str]:
    """The fault of a cascade that keeps something of a count."""
    waiting = [value for part in cascade.modules() for value in vars(part).values()]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Tensor) and (isinstance(value, FakeTensor) or value.is_meta):
            return ['a tensor without values is left in a member']
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, (list, tuple)):
            waiting.extend(value)
    return []


def _real_macs(call: Callable[[], object]) -> float:
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 2
