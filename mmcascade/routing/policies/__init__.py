# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Who goes on to the next stage: windows, thresholds, chance, and what adapts to a stream or to a budget of cells.

A policy derives from ``ExitPolicy`` (``WindowPolicy``, if it has windows), overrides ``go_on`` and is registered in
``POLICIES``. It sees confidences and the numbers of units, never scores or images. Units without finite scores are
dealt with once, by ``going_on``. Where windows are put is fitted in ``calibration.fit``.
"""
