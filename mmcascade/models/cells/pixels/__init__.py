# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""From the maps of heads to pixels: which are made when, and what is kept of them.

Maps are enlarged as late as possible: a kind of output derives from ``Scores`` (``HeadScores``, if a head's map stands
for more pixels), and ``CellPixels`` makes pixels when they are asked for. Labels of equal scores are settled by
``best_class`` alone, as bundles and torch must agree on them.
"""
