# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Which members, in which order, with which windows: a grid, its front, and what that is worth elsewhere."""
