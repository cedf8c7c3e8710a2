# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Exits of one network: each alone, and cascades of them with every policy at equal cost."""
