# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Folders as a user has them: images, checkpoints, configs."""
