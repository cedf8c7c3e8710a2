# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A config file and a checkpoint of one small network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.test_models.member_kinds import (
    CONFIG,
    INLINE,
    build,
    save_checkpoint,
    tiny_resnet,
    unlike_initial,
)


@pytest.fixture(params=INLINE)
def config(request, tmp_path) -> dict[str, Any]:
    return INLINE[request.param](tmp_path / 'architecture')


@pytest.fixture
def config_file(tmp_path) -> Path:
    (tmp_path / 'net.py').write_text(CONFIG)
    return tmp_path / 'net.py'


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    return save_checkpoint(unlike_initial(build(tiny_resnet())), tmp_path / 'resnet.pth')
