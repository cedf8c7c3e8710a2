# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What decides: bundles, and cascades of configs, behind one interface.

A decider derives from ``Decider`` (``ConfigDecider``, if it runs a config's model) and says its results and their rows;
``open_decider`` chooses one by what lies at a path. Modules of bundles import no torch, and each task needs its own
library only. How a row looks is in ``rows``.
"""
