# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Decisions for any number of images, with bounded memory, resumed after any end: ``mmcascade predict``."""
