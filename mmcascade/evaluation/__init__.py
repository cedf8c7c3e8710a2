# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How good a cascade is: ``curves`` of confidences, ``standings`` of systems, and ``metrics`` for MMEngine.

Curves and standings are numpy only. The metrics can be imported from here, too; they are looked up when asked for, so
that curves need no MMEngine. Qualities that a search makes good are in ``calibration.replay.quality``, and are read off
the same curves.
"""

from mmcascade._system.lazy import lazy_names

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        'metrics': [
            'SCOD',
            'CascadeCost',
            'DeferredPixels',
            'OODDetection',
            'PixelSelective',
            'SelectiveMaps',
            'SelectiveRisk',
            'SubsetMetric',
        ]
    },
)
