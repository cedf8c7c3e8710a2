# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Cascades that decide per cell beside their members, their ensemble, and image-level deferral."""
