# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What the tools run, from a config to files: test, train, calibrate, search, export, report, fit a detector.

A module per tool puts other parts in order and writes what comes out, whole or not at all; what is computed belongs
into ``calibration``, ``models`` or ``visualization``. A run shows its progress by ``console`` and hands its results
back: a tool shows them. Comparisons of systems, which call runs, are in :mod:`mmcascade.comparison`.
"""

from mmcascade._system.extras import require

require('mmengine', 'mmcascade.engine')
