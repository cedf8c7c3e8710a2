# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The metrics of MMEngine: thin, they collect what samples carry and hand it to :mod:`mmcascade.evaluation.curves`.

A metric derives from ``SampleMetric`` (``RankingMetric``, if it reads a ranking; ``SetMetric``, if data sets stand
against each other), registers itself in ``METRICS`` and is imported below. It computes nothing that a function of the
curves could. Keys that are printed stay: configs, tables and trackers name them.
"""

from mmcascade._system.extras import needed_by

with needed_by('mmcascade.evaluation.metrics'):
    from mmcascade.evaluation.metrics.cascade_cost import CascadeCost
    from mmcascade.evaluation.metrics.deferred_pixels import DeferredPixels
    from mmcascade.evaluation.metrics.ood_detection import OODDetection
    from mmcascade.evaluation.metrics.pixel_selective import PixelSelective
    from mmcascade.evaluation.metrics.scod import SCOD
    from mmcascade.evaluation.metrics.selective_maps import SelectiveMaps
    from mmcascade.evaluation.metrics.selective_risk import SelectiveRisk
    from mmcascade.evaluation.metrics.subset_metric import SubsetMetric

__all__ = [
    'SCOD',
    'CascadeCost',
    'DeferredPixels',
    'OODDetection',
    'PixelSelective',
    'SelectiveMaps',
    'SelectiveRisk',
    'SubsetMetric',
]
