# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Windows around a decision: where it lies among the scores, and how far a window reaches on both sides.

``bounds`` has the rules that every threshold follows, here and in the folders beside: midway between scores, ties
undivided. ``operating_point`` works on arrays, too; ``windows`` places one window after the other along a cascade.
Another decision derives from ``Decision``, as that of cells does.
"""
