# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Curves and summaries of how well a confidence ranks units; numpy only.

Every function takes (n,) scores (higher is more certain) and (n,) flags, works in float64, ignores the order of the
units and returns fractions. The metrics print percent. A new summary is a function of a ``Ranked`` in
``ranking.summaries``, so that intervals can draw it, too, and has a slow reference in ``tests/test_evaluation``.
"""

from mmcascade.evaluation.curves.roc_curves import RocCurve, aupr, auroc, fpr_at_tpr, roc_curve
from mmcascade.evaluation.curves.scod_curves import (
    ScodCurve,
    scod_augrc,
    scod_aurc,
    scod_curve,
    scod_risk_at_coverage,
)
from mmcascade.evaluation.curves.selective_curves import (
    NEAREST_POINT_SKIP,
    RiskCoverage,
    augrc,
    aurc,
    coverage_at_risk,
    e_aurc,
    nearest_rank,
    risk_at_coverage,
    risk_coverage,
)

__all__ = [
    'NEAREST_POINT_SKIP',
    'RiskCoverage',
    'RocCurve',
    'ScodCurve',
    'aupr',
    'augrc',
    'auroc',
    'aurc',
    'coverage_at_risk',
    'e_aurc',
    'fpr_at_tpr',
    'nearest_rank',
    'risk_at_coverage',
    'risk_coverage',
    'roc_curve',
    'scod_augrc',
    'scod_aurc',
    'scod_curve',
    'scod_risk_at_coverage',
]
