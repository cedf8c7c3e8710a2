# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a Python user holds in hand. ``cascade`` needs torch only, the inferencers need OpenMMLab."""

import contextlib

from mmcascade._system.quiet import quiet_libraries

with contextlib.suppress(ModuleNotFoundError):
    quiet_libraries()
