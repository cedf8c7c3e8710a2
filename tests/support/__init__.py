# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What tests of several folders share: tiny members and data sets, synthetic stores, slow obvious references."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
