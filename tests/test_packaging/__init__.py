# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The package as others install it."""
