# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Pictures of calibrations, searches and decisions, in one style, without touching matplotlib's state.

A function takes results, and ``Axes`` where it draws one panel, and returns its figure; colours, markers and file names
come from ``style``, names beside points from ``labels``, bands from ``bands``. It draws what others have computed.
Pictures of one comparison or benchmark stand with that (``comparison``, ``engine.benchmark``); the page of a run is
``report``.
"""
