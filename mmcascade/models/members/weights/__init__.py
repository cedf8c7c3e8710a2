# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Weights from anywhere, without running code of strangers: downloads, safe reading, strict loading, hashes."""
