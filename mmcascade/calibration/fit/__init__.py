# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Windows, shares, temperatures, maps and thresholds, fitted on stored units, and the file that keeps them."""
