# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a Python user holds in hand. ``cascade`` needs torch only, the inferencers need OpenMMLab.

``Cascade`` puts plain torch modules into the stages of ``routing`` and calls the calibration that the tools call:
nothing is fitted or routed here. What is handed in is read by ``cascade_inputs`` and ``named_modules``; a library of
OpenMMLab is imported in ``openmmlab_network`` and ``inferencers`` alone. ``torch_metrics`` are the curves for training
loops.
"""

import contextlib

from mmcascade._system.quiet import quiet_libraries

with contextlib.suppress(ModuleNotFoundError):
    quiet_libraries()
