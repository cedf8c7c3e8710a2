# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Where a threshold lies among scores: pure functions of arrays, which everything fitted beside this folder uses.

``operating_point`` finds the score at which a target is met and the window around it, ``bounds`` has the rules that
every threshold follows: midway between scores, ties undivided.
"""
