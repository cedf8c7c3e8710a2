# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Transforms of a pipeline: views that are written as data, crops, clips, and the mark of what does not belong.

A transform derives from MMCV's ``BaseTransform``, registers itself in ``TRANSFORMS`` and is imported by
``mmcascade.datasets``. ``ViewSteps`` runs the steps of ``runtime.preprocessing``, so that a test and a bundle see the
same pixels: a step that a bundle needs goes there, not here.
"""
