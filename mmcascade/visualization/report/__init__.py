# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The page of a run: one HTML file that holds all it shows and asks nothing of anybody."""
