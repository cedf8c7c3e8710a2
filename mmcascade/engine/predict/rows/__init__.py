# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Decisions as rows of a table."""
