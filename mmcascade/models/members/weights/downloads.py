# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Fetching weights, whole and with their hash checked."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlparse
from urllib.request import Request, url2pathname, urlopen

import torch
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from mmcascade.models.members.weights.checkpoints import CheckpointError
from mmcascade.models.members.weights.hashes import check_hash, hash_in_name, sha256

_BLOCK = 1 << 17
_TAG = 12


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
    if is_remote(weights):
        path = cached_path(weights)
        if not path.is_file():
            _download(weights, path)
    else:
        url = urlparse(weights)
        path = Path(url2pathname(url.path)) if url.scheme == 'file' else Path(weights).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"weights '{weights}' are not a file")
    check_hash(path)
    return path


def is_remote(weights: str) -> bool:
    """Whether the weights have to be downloaded."""
    return urlparse(weights).scheme in ('http', 'https')


def cached_path(url: str) -> Path:
    """Where a download is kept.

    Under the name of the file if that carries a hash of its content; else part of the URL's hash joins it, since
    many URLs end in ``best.pth`` or ``model.safetensors``.
    """
    name = Path(unquote(urlparse(url).path)).name or 'weights'
    path = Path(torch.hub.get_dir()) / 'checkpoints' / name
    if hash_in_name(path):
        return path
    return path.with_name(f'{path.stem}.{hashlib.sha256(url.encode()).hexdigest()[:_TAG]}{path.suffix}')


def _download(url: str, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix='.partial')
        try:
            with os.fdopen(handle, 'wb') as file:
                _fetch(url, file)
            _check_content(Path(temporary), path)
            os.replace(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    # urllib's errors are OSErrors
    except (OSError, HTTPException, CheckpointError) as error:
        raise CheckpointError(
            f"cannot download '{url}' to '{path}': {error}. Download it by other means and give its path as checkpoint="
        ) from error


def _fetch(url: str, file: IO[bytes]) -> None:
    # The address is what a config or a zoo names, and a local mirror by file:// is meant to work.
    request = Request(url, headers={'User-Agent': 'mmcascade'})  # noqa: S310
    with urlopen(request) as answer:  # noqa: S310
        length = answer.headers.get('Content-Length')
        expected = int(length) if length and length.isdecimal() else None
        columns = (TextColumn('{task.description}'), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
            task = bar.add_task(Path(urlparse(url).path).name, total=expected)
            while block := answer.read(_BLOCK):
                file.write(block)
                bar.advance(task, len(block))
    if expected is not None and file.tell() != expected:
        raise CheckpointError(f'the connection ended after {file.tell()} of {expected} bytes')


def _check_content(content: Path, name: Path) -> None:
    expected = hash_in_name(name)
    if expected and not (found := sha256(content)).startswith(expected):
        raise CheckpointError(f'its SHA-256 begins with {found[: len(expected)]}, expected {expected} as in its name')
