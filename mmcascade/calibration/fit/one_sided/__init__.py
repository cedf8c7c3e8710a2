# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One-sided thresholds: the least confident units go on, by a share, a budget, or a rank.

``shares`` finds the smallest share that meets a target by running sums over what units carry, for images and cells;
``geometric`` gives the shares of budgeted batch classification. Costs and qualities come from ``calibration.replay``.
Windows with two bounds are in ``two_sided``.
"""
