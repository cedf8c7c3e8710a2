# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Window-based early-exit cascades of pretrained classifiers and segmentors for OpenMMLab."""

__version__ = '0.1.0'
