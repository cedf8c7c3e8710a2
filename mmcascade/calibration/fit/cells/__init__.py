# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What is fitted on segmented images only, whose cells are wrong in part.

``selective`` says which images and cells are judged and what accepting them loses, ``acceptance`` puts their thresholds
into a calibration, ``map_guarantee`` promises, and ``two_sided`` leaves out cells that no later stage helps. What holds
for images of classifiers as well (shares, windows, maps) is fitted in the folders beside this one.
"""
