# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One exact sort of the scores, streamed in blocks: what every curve is summed from.

``Ranking`` sorts once, as integers that stand for scores; ``summaries`` are formulas over anything that is ``Ranked``,
and ``areas`` what a block with ties adds. The curves beside this folder check arrays before they come here: nothing is
checked twice.
"""
