# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Loading a checkpoint into a model, with every difference an error."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from mmcascade.models.members.weights.checkpoints import Checkpoint, CheckpointError

_LISTED = 10
_SHOWN = 200
_COUNTER = 'num_batches_tracked'


def load_strictly(module: nn.Module, checkpoint: Checkpoint, who: str) -> None:
    """Loads every weight of a checkpoint into every weight of a module.

    The prefix ``module.`` of a (distributed) data parallel wrapper is taken off. Only the batch
    counters of batch norm may be missing: they have no part in a prediction.

    Args:
        module: the model, as its library built it.
        checkpoint: its weights, in the names under which the model itself saves them.
        who: the model in words, for the message.

    Raises:
        CheckpointError: weights are missing, unknown, of another shape or kind, or not finite; they are listed.
    """
    # A shallow copy that keeps the versions which torch notes in a state dict.
    weights = copy.copy(checkpoint.state_dict)
    own = module.state_dict()
    if all(key.startswith('module.') for key in weights) and not any(key.startswith('module.') for key in own):
        nn.modules.utils.consume_prefix_in_state_dict_if_present(weights, 'module.')
    if faults := value_faults(own, weights):
        raise CheckpointError(
            f"checkpoint '{checkpoint.path}' cannot be used for {who}: its values are no weights. Export it again "
            'in the precision that it was trained in:\n' + '\n'.join(faults)
        )
    try:
        missing, unexpected = module.load_state_dict(weights, strict=False)
        misfits: list[str] = []
    except RuntimeError as error:
        missing, unexpected, misfits = [], [], _misfits(str(error))
    # Some models drop what they compute anew from the weights before torch looks for it.
    missing = [key for key in missing if not key.endswith(_COUNTER) and key not in weights]
    report = [
        *_listed('missing from it', missing),
        *_listed('unknown to the model', unexpected),
        *_listed('that cannot be copied', misfits),
    ]
    if report:
        raise CheckpointError(
            f"checkpoint '{checkpoint.path}' ({len(weights)} weights) does not fit {who} "
            f'({len(own)} weights); expected one of exactly this model:\n' + '\n'.join(report)
        )


def differences(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> list[str]:
    """Lines that list what a checkpoint lacks, has too much, or has in another shape or kind; none if it fits."""
    shapes = [
        f'{key} of shape {list(theirs.shape)} instead of {list(mine.shape)}'
        for key, mine, theirs in _shared(own, weights)
        if theirs.shape != mine.shape
    ]
    missing = [key for key in own if key not in weights and not key.endswith(_COUNTER)]
    return [
        *_listed('missing from it', missing),
        *_listed('unknown to the model', sorted(weights.keys() - own.keys())),
        *_listed('that cannot be copied', sorted(shapes)),
        *value_faults(own, weights),
    ]


def value_faults(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> list[str]:
    """Lines that list weights whose values torch would copy without a word although they are none of this model.

    Numbers of another kind lose their meaning: integers of a quantised network their scale, complex ones their
    imaginary part. A weight that is NaN or infinite makes a member that never answers. What the model itself builds
    with infinite values, such as a mask, may have them.
    """
    kinds, infinite = [], []
    for key, mine, theirs in _shared(own, weights):
        if theirs.shape != mine.shape or key.endswith(_COUNTER):
            continue
        if not _same_kind(mine, theirs):
            kinds.append(f'{key} in {_kind(theirs)} instead of {_kind(mine)}')
        elif mine.is_floating_point() or mine.is_complex():
            cast = theirs.to(mine)  # a number may only be too large for this precision
            if not (cast.isfinite() | (cast == mine)).all():
                infinite.append(key)
    return [*_listed('of another kind', kinds), *_listed('with NaN or infinite values', infinite)]


def _shared(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor, Tensor]]:
    """The tensors of a name that both have; what else modules keep in a state dict is their own affair."""
    for key, mine in own.items():
        theirs = weights.get(key)
        if isinstance(mine, Tensor) and isinstance(theirs, Tensor):
            yield key, mine, theirs


def _same_kind(mine: Tensor, theirs: Tensor) -> bool:
    if theirs.is_quantized or theirs.is_meta or theirs.is_nested or theirs.layout != mine.layout:
        return False
    if mine.is_complex():
        return theirs.is_complex()
    if mine.is_floating_point():
        return theirs.is_floating_point() and theirs.dtype.itemsize > 1  # 8 bits go with a scale
    if theirs.dtype == mine.dtype:
        return True
    if theirs.is_complex() or theirs.dtype == torch.bool:
        return False
    return torch.equal(theirs.to(mine.dtype).to(theirs.dtype), theirs)


def _kind(tensor: Tensor) -> str:
    dtype = str(tensor.dtype).removeprefix('torch.')
    return dtype if tensor.layout == torch.strided else f'{dtype} ({str(tensor.layout).removeprefix("torch.")})'


def _misfits(message: str) -> list[str]:
    """The weights that torch could not copy, nearly always for their shape."""
    return [
        re.sub(
            r'size mismatch for (\S+):.*Size\((.*?)\).*Size\((.*?)\).*', r'\1 of shape \2 instead of \3', line.strip()
        )
        for line in message.splitlines()[1:]
    ]


def _listed(what: str, keys: Sequence[str]) -> list[str]:
    if not keys:
        return []
    more = f' and {len(keys) - _LISTED} more' if len(keys) > _LISTED else ''
    return [f'  {len(keys)} {what}: ' + ', '.join(key[:_SHOWN] for key in keys[:_LISTED]) + more]
