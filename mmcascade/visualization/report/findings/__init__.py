# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a page tells of stored scores, before anything is drawn.

Each module answers one question (classes, drift, searched chains, other settings) with rows and texts, as the page
itself computes nothing. ``settings`` calibrates and replays for every place of the sliders, by the functions that the
tools use. How rows look is up to ``charts`` and the templates.
"""
