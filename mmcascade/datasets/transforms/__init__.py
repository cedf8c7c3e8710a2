# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Transforms of a pipeline: views that are written as data, crops, clips, and the mark of what does not belong."""
