# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The same summaries from counts in bins, with what binning may cost.

For pixels, of which there are too many to sort: a metric counts them in ``ScoreBins``, whose edges are fixed, so that
counts of several processes add up. Every summary from counts has a bracket that says what it can be off by. Where units
can be kept, use ``ranking``, which is exact.
"""
