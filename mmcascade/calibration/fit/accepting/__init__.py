# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a finished cascade accepts: thresholds for images and for cells, and what is promised of them.

``Judged`` is what a decision to accept sees. Its two variants differ in what accepting costs: an image of a classifier
is right or wrong (``images``), a segmented one is wrong in part (``maps``). ``accept`` puts thresholds into a
calibration, for both in the same way.
"""
