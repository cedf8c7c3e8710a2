# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""All windows of one chain at once, as differences of running sums, and the best of them within a plan's limits.

``Grid`` sums whatever units carry, ``ListedGrid`` follows units one by one where no sum can tell; ``ChainSearch`` walks
the grid from coarse to fine. Both are tied to the replay by one battery of tests, which a new policy or quality joins.
Which chains there are is the business of ``calibration.search``.
"""
