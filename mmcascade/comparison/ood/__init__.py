# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Members, their ensemble and cascades as detectors of what is out of distribution (OOD).

Detectors are those of ``classification`` with sets of other images beside the test split; their metrics are computed by
``evaluation``, and detectors that are fitted on features are in ``calibration.detectors``. Keys of ``results`` stay.
"""
