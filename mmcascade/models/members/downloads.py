# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Fetching the zoos' weights, with their hash checked."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import torch

from mmcascade.models.members.checkpoints import CheckpointError

# The zoos end a file name with the first digits of its SHA-256: resnet18_8xb32-c140f1ab.pth
_HASH = re.compile(r'-([0-9a-f]{8,64})\.\w+$')


def local_file(weights: str) -> Path:
    """The weights as a file of this machine whose hash has been checked.

    A download goes to torch's cache (``$TORCH_HOME/hub/checkpoints``, shared with mmengine), shows
    its progress, and gets its name only when it is complete, so several processes may ask at once.

    Args:
        weights: an ``http(s)://`` or ``file://`` URL, or a path.

    Raises:
        CheckpointError: the download failed, or the content does not fit the hash in the name.
        FileNotFoundError: there is no such local file.
    """
    url = urlparse(weights)
    if url.scheme in ('http', 'https'):
        path = Path(torch.hub.get_dir()) / 'checkpoints' / Path(url.path).name
        if not path.is_file():
            _download(weights, path)
    else:
        path = Path(url2pathname(url.path)) if url.scheme == 'file' else Path(weights)
    if not path.is_file():
        raise FileNotFoundError(f"weights '{weights}' are not a file")
    expected = hash_in_name(path)
    if expected and not sha256(path).startswith(expected):
        raise CheckpointError(
            f"'{path}' is not what its name promises: its SHA-256 begins with "
            f'{sha256(path)[: len(expected)]}, expected {expected}. Delete it and fetch it again'
        )
    return path


def hash_in_name(path: Path) -> str | None:
    """The hex digits of the SHA-256 that a published file carries in its name, or None."""
    found = _HASH.search(path.name)
    return found[1] if found else None


def sha256(path: Path) -> str:
    """SHA-256 of a file's content in hex digits."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _download(url: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(path), hash_prefix=hash_in_name(path))
    # urllib's errors are OSErrors; a wrong hash is a RuntimeError
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f"cannot download '{url}' to '{path}': {error}. Download it by other means and give its path as checkpoint="
        ) from error
