# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A calibrated cascade beside its members and their ensemble, on stored scores, and whether it pays.

It makes the systems (``systems``; whole images of segmentors: ``whole_images``) that ``evaluation.standings`` compares,
so intervals and verdicts are made there. Comparisons that run members are in :mod:`mmcascade.comparison`.
"""
