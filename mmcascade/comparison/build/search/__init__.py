# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Which members, on which views, with which windows: ``mmcascade build --search``."""
