# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Loading a checkpoint into a model, with every difference an error."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from mmcascade.models.members.checkpoints import Checkpoint, CheckpointError

_LISTED = 10
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
        CheckpointError: weights are missing, unknown, or of another shape; they are listed.
    """
    # A shallow copy that keeps the versions which torch notes in a state dict.
    weights = copy.copy(checkpoint.state_dict)
    own = module.state_dict()
    if all(key.startswith('module.') for key in weights) and not any(key.startswith('module.') for key in own):
        nn.modules.utils.consume_prefix_in_state_dict_if_present(weights, 'module.')
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
    """Lines that list what a checkpoint lacks, has too much or has in another shape; none if it fits."""
    shapes = [
        f'{key} of shape {list(weights[key].shape)} instead of {list(own[key].shape)}'
        for key in own.keys() & weights.keys()
        if weights[key].shape != own[key].shape
    ]
    missing = [key for key in own if key not in weights and not key.endswith(_COUNTER)]
    return [
        *_listed('missing from it', missing),
        *_listed('unknown to the model', sorted(weights.keys() - own.keys())),
        *_listed('that cannot be copied', sorted(shapes)),
    ]


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
    return [f'  {len(keys)} {what}: ' + ', '.join(keys[:_LISTED]) + more]
