# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Short names for large things, to tell whether two of them are the same."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn


def fingerprint(parts: Iterable[bytes]) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the parts, in order."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, 'little'))
        digest.update(part)
    return digest.hexdigest()[:16]


def weights_fingerprint(state_dict: Mapping[str, Tensor]) -> str:
    """Fingerprint of named tensors: names, types, shapes and every bit, wherever they lie."""

    def parts() -> Iterable[bytes]:
        for name in sorted(state_dict):
            tensor = state_dict[name].detach().cpu().contiguous()
            yield f'{name} {tensor.dtype} {tuple(tensor.shape)}'.encode()
            yield tensor.reshape(-1).view(torch.uint8).numpy().tobytes()

    return fingerprint(parts())


def module_fingerprint(module: nn.Module) -> str:
    """Fingerprint of what a network computes: its weights, all buffers, its layers and its preprocessing.

    Mean and standard deviation of a data preprocessor are in no state dict, and the order of channels is no tensor.
    """
    tensors = {**module.state_dict(), **{f'buffer {name}': buffer for name, buffer in module.named_buffers()}}
    layers = re.sub(r' at 0x[0-9a-f]+', '', repr(module))
    # Those of a network inside of another are added where there are any, so that all others keep their fingerprint.
    nested = [(name, found) for name, child in module.named_modules() if name and (found := _preprocessing(child))]
    parts = [layers, repr(_preprocessing(module)), *([repr(nested)] if nested else [])]
    return fingerprint([weights_fingerprint(tensors).encode(), *(part.encode() for part in parts)])


def _preprocessing(module: nn.Module) -> list[tuple[str, Any]]:
    """The plain settings of a module's own data preprocessor."""
    preprocessor = getattr(module, 'data_preprocessor', None)
    if preprocessor is None:
        return []
    return sorted(
        (name, value)
        for name, value in vars(preprocessor).items()
        if isinstance(value, (bool, int, float, str, tuple)) and name != 'training'
    )
