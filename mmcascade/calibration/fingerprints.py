# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Short names for large things, to tell whether two of them are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor


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
