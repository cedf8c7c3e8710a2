# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""From the maps of heads to pixels: which are made when, and what is kept of them."""
