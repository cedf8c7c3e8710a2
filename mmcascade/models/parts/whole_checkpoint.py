# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A checkpoint of a whole cascade, as it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from mmcascade.models.members.weights.strict_loading import differences


def check_whole_cascade(model: nn.Module, state_dict: Mapping[str, Tensor], prefix: str, *_: Any) -> None:
    """A checkpoint given for the whole cascade must hold the whole cascade, whoever loads it and however strictly.

    A hook of torch, run before a state dict is loaded. The members' own checkpoints are no business of it.

    Raises:
        RuntimeError: if a weight is missing, unknown or of another shape; they are listed.
    """
    given = {key[len(prefix) :]: value for key, value in state_dict.items() if key.startswith(prefix)}
    report = differences(model.state_dict(), given)
    if report:
        raise RuntimeError(
            'the checkpoint does not fit this cascade:\n' + '\n'.join(report) + '\nThe weights of a single member '
            "belong into that member's checkpoint=; a checkpoint for the whole cascade is made by "
            'tools/bundle_checkpoint.py'
        )
