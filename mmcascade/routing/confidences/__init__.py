# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One number per unit: how certain a cascade is, and maps that make such numbers comparable across exits.

A function of the fused distribution goes into ``CONFIDENCES``; a class with options derives from ``Confidence``
(``FeatureConfidence`` if it reads features) and goes into ``CONFIDENCE_TYPES``; a way from pixels to one number derives
from ``PixelReducer``. Each reads the rows of its own unit only, or batching would change decisions. What is fitted on
data is in ``calibration.detectors``; who goes on is the business of ``policies``.
"""
