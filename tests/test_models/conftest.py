# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import torch

from mmcascade.models.members.weights.hashes import sha256
from tests.test_models.saved_checkpoints import HASHED


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any connection fails the test."""

    def refuse(*args: Any) -> None:
        raise AssertionError(f'tried to connect: {args}')

    monkeypatch.setattr(socket.socket, 'connect', refuse)
    monkeypatch.setattr(socket, 'getaddrinfo', refuse)


@pytest.fixture
def weights_file(tmp_path) -> Path:
    """A file that is called as the zoos call theirs."""
    raw = tmp_path / 'raw.pth'
    torch.save({'w': torch.ones(3)}, raw)
    return raw.rename(tmp_path / HASHED.format(sha256(raw)[:8]))
