# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Windows around a decision: where it lies among the scores, and how far a window reaches on both sides.

``operating_point`` works on arrays and has the rules for ties and bounds that every threshold follows (midway between
scores); ``windows`` places one window after the other along a cascade. Another decision derives from ``Decision``, as
that of cells does.
"""
