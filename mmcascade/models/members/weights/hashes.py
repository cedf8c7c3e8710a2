# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The content hash that published weights carry in their file names."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from mmcascade.models.members.weights.checkpoints import CheckpointError

# The zoos end a name with the first digits of its SHA-256: resnet18_8xb32-c140f1ab.pth. Behind '_' there may also be a
# step or another kind of hash, so there it has 8 digits, or all 64, and not decimal ones only.
_HASH = re.compile(r'(?:-([0-9a-f]{8,64})|_(?=\d*[a-f])([0-9a-f]{8}|[0-9a-f]{64}))((?:\.[a-z]\w*)+)$', re.IGNORECASE)
_DATE = re.compile(r'(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])\d*')


def hash_in_name(path: Path) -> str | None:
    """The hex digits of the SHA-256 that a published file carries in its name, in small letters, or None."""
    found = _HASH.search(path.name)
    if not found or _DATE.fullmatch(found[1] or ''):
        return None
    return (found[1] or found[2]).lower()


def sha256(path: Path) -> str:
    """SHA-256 of a file's content in hex digits."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def check_hash(path: Path) -> None:
    """Refuse a file whose content is not what its name promises.

    Raises:
        CheckpointError: the name carries a hash, and the content has another.
    """
    expected = hash_in_name(path)
    if expected and not (found := sha256(path)).startswith(expected):
        raise CheckpointError(
            f"'{path}' is not what its name promises: its SHA-256 begins with {found[: len(expected)]}, expected "
            f'{expected}. Delete it and fetch it again, or, if you changed it on purpose, give it another name'
        )
