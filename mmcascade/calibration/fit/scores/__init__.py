# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What makes scores comparable: a temperature per stage, and a map per exit.

Temperatures are fitted on labels before members are averaged and kept only if held-out units gain; maps are fitted on
units where they leave, after the windows are. Both are applied by ``routing`` (``temperature``, ``ScoreMap``) and by
``runtime.decision``: the form of a map is theirs.
"""
