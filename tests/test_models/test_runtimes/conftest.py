# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest

from tests.support.members.tiny_models import tiny


@pytest.fixture(scope='session')
def kept_graphs(tmp_path_factory):
    """The cache that these tests share: writing a graph takes seconds."""
    return tmp_path_factory.mktemp('cache')


@pytest.fixture(autouse=True)
def own_cache(kept_graphs, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(kept_graphs))


@pytest.fixture(scope='module')
def member():
    return tiny('resnet')
