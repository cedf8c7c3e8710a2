# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The same summaries from counts in bins, with what binning may cost."""
