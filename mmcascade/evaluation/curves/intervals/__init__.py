# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How far the units of a test set leave a figure open: resampling.

``ranked`` draws from one sort all that is read off a ranking, ``bootstrap`` anything else, and ``miou_bootstrap`` whole
images. What is drawn is a function that the curves have already. Differences of systems on the same draws are
``evaluation.standings``; promises for unseen data are ``calibration.fit.certificates``.
"""
