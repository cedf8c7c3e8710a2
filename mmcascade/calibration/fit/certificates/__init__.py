# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What is promised of unseen units, and the units that are kept apart for that.

``certificate`` is for errors of 0 or 1, ``bets`` for losses in between; both take arrays, know of no cascade, and test
thresholds as ``sequence`` says, on units on which nothing was fitted (``held_out``), starting where the others say. A
change needs its proof in the module's docstring and the simulations of the tests. How a promise is written down is in
``result``.
"""
