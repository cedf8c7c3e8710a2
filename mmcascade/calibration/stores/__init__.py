# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Scores of every stage on a data set, kept on disk, and whose scores they are."""
