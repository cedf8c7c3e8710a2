# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Windows, shares, temperatures, maps and thresholds, fitted on stored units, and the file that keeps them.

``calibrate`` is the one way in: a ``CalibrationRequest`` says what is wanted, ``Evidence`` what it is fitted on, and
the folders fit one kind of number each, for images and cells alike. Whole cascades are looked for in
``calibration.search``, which may import this folder, never the other way round.
"""
