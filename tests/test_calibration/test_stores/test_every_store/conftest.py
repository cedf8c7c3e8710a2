# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Each of the stores, and disks that are not waited for."""

from __future__ import annotations

import os

import pytest

from tests.test_calibration.test_stores.test_every_store.layouts import LAYOUTS


@pytest.fixture(params=LAYOUTS)
def layout(request):
    """Of each kind one store."""
    return LAYOUTS[request.param]


@pytest.fixture(autouse=True)
def nobody_pulls_the_plug(monkeypatch):
    monkeypatch.setattr(os, 'fsync', lambda number: None)
