# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What runs, and in which order: the graphs of members, and how images and cells go through the stages of a manifest.

A library for graphs derives from ``Graph``; an ``Engine`` that has members run elsewhere overrides ``load``, as that of
``serving.ray`` does. ``image_route`` and ``cell_route`` are the counterparts of the router, for images that are at hand
whole. What they decide by is in ``decision``.
"""
