# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How good a cascade is: ``curves`` over confidences (numpy only), and the ``metrics`` of MMEngine that print them.

The metrics can be imported from here, too; they are looked up when asked for, so that curves need no MMEngine.
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
