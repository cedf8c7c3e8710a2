# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One-sided thresholds: the least confident units go on, by a share, a budget, or a rank."""
