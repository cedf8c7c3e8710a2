# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""From segmentors, images and masks to a calibrated cascade, and whether it pays: the other half of ``build``.

File for file what the folder above does for classifiers, and built on it where images and cells are alike (words,
requests, search). It needs MMSegmentation, so nothing outside imports it but the tool that was asked for segmentors.
"""
