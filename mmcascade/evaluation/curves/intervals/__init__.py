# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How far the units of a test set leave a figure open: resampling."""
