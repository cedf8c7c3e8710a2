# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What decides and what runs: pure torch, no OpenMMLab library is imported here.

The way of a batch, and what may be touched, is in the README beside this file. New confidences, policies and pixel
reducers derive from ``Confidence``, ``ExitPolicy`` or ``PixelReducer`` and register themselves; the names below are
what users import for that.
"""

from mmcascade.routing.cached_stage import CachedStage
from mmcascade.routing.confidences.cell_confidence import CellConfidence
from mmcascade.routing.confidences.confidence import (
    CONFIDENCE_TYPES,
    CONFIDENCES,
    Confidence,
    FusedConfidence,
    MemberConfidence,
    build_confidence,
    energy,
    logit_gap,
    max_logit,
    max_prob,
    neg_entropy,
    prob_gap,
)
from mmcascade.routing.confidences.disagreement import Agreement, NegMutualInformation, NegVariationRatio
from mmcascade.routing.confidences.feature_confidence import FeatureConfidence
from mmcascade.routing.confidences.pixel_reducers import (
    REDUCERS,
    FractionBelowReducer,
    MeanReducer,
    PixelReducer,
    QuantileReducer,
)
from mmcascade.routing.confidences.score_maps import ScoreMap
from mmcascade.routing.cost import MacCounter, MacRule, count_macs, register_macs
from mmcascade.routing.exits.exit_state import ExitState
from mmcascade.routing.fusion.distribution import Distribution
from mmcascade.routing.fusion.stage_output import StageOutput
from mmcascade.routing.fusion.state import FUSIONS, CascadeState
from mmcascade.routing.policies.adjusted_window_policy import AdjustedWindowPolicy
from mmcascade.routing.policies.cell_budget_policy import CellBudgetPolicy
from mmcascade.routing.policies.policies import (
    ExitPolicy,
    RandomPolicy,
    ThresholdPolicy,
    WindowPolicy,
)
from mmcascade.routing.policies.registry import POLICIES
from mmcascade.routing.registry import Registry, UnknownNameError
from mmcascade.routing.router import CascadeRouter
from mmcascade.routing.stream import Stage, Stream
from mmcascade.routing.units.outcome import Outcome
from mmcascade.routing.units.sources import Source, ViewRows
from mmcascade.routing.units.unit_batch import UnitBatch

__all__ = [
    'NegMutualInformation',
    'NegVariationRatio',
    'CONFIDENCES',
    'CONFIDENCE_TYPES',
    'FUSIONS',
    'POLICIES',
    'REDUCERS',
    'AdjustedWindowPolicy',
    'Agreement',
    'CachedStage',
    'CascadeRouter',
    'CascadeState',
    'CellBudgetPolicy',
    'CellConfidence',
    'Confidence',
    'Distribution',
    'ExitPolicy',
    'ExitState',
    'FeatureConfidence',
    'FractionBelowReducer',
    'FusedConfidence',
    'MacCounter',
    'MacRule',
    'MeanReducer',
    'MemberConfidence',
    'Outcome',
    'PixelReducer',
    'QuantileReducer',
    'RandomPolicy',
    'Registry',
    'ScoreMap',
    'Source',
    'Stage',
    'StageOutput',
    'Stream',
    'ThresholdPolicy',
    'UnitBatch',
    'UnknownNameError',
    'ViewRows',
    'WindowPolicy',
    'build_confidence',
    'count_macs',
    'energy',
    'logit_gap',
    'max_logit',
    'max_prob',
    'neg_entropy',
    'prob_gap',
    'register_macs',
]
