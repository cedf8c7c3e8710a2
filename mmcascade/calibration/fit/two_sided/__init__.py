# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Windows with two ends: around a decision, or those of a search that leaves out what no later stage helps.

``windows`` places one window after the other along a cascade, ``decision`` says where a decision lies and how far a
window reaches; another decision derives from ``Decision``. ``searched`` is for segmented images, ``adjust`` moves a
fitted window to scores without labels.
"""
