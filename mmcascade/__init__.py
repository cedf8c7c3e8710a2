# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Window-based early-exit cascades of pretrained classifiers and segmentors for OpenMMLab.

``import mmcascade`` costs milliseconds: each name below is imported when it is first asked for. Curves and
bundles need numpy only, what routes and calibrates torch, and the models the libraries of OpenMMLab; what is missing is
named with the extra that brings it.

Example:
    >>> from mmcascade import coverage_at_risk
    >>> coverage_at_risk([0.9, 0.8, 0.7, 0.6], [0, 0, 1, 0], risk=0.25)
    1.0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmcascade._system.lazy import lazy_names

if TYPE_CHECKING:
    from mmcascade.apis.cascade import Cascade
    from mmcascade.apis.inferencers.cascade_inferencer import CascadeInferencer
    from mmcascade.apis.inferencers.cascade_seg_inferencer import CascadeSegInferencer
    from mmcascade.calibration.fit.calibrate import calibrate
    from mmcascade.calibration.fit.certificates.certificate import certify
    from mmcascade.calibration.fit.request import CalibrationRequest
    from mmcascade.calibration.fit.result.calibration_file import Calibration
    from mmcascade.calibration.fit.thresholds.operating_point import place_tau
    from mmcascade.calibration.grid.plan import Plan
    from mmcascade.calibration.search.search import search
    from mmcascade.calibration.stores import open_store
    from mmcascade.calibration.stores.cell_store import CellStore
    from mmcascade.calibration.stores.score_store import ScoreStore
    from mmcascade.evaluation.curves.roc_curves import aupr, auroc, fpr_at_tpr
    from mmcascade.evaluation.curves.scod_curves import scod_curve
    from mmcascade.evaluation.curves.selective_curves import (
        augrc,
        aurc,
        coverage_at_risk,
        e_aurc,
        risk_at_coverage,
        risk_coverage,
    )
    from mmcascade.models.cascade_classifier import WindowCascadeClassifier
    from mmcascade.models.cascade_segmentor import CascadeSegmentor
    from mmcascade.models.members.members import build_member
    from mmcascade.routing.policies.policies import RandomPolicy, ThresholdPolicy, WindowPolicy
    from mmcascade.routing.router import CascadeRouter
    from mmcascade.runtime.bundle import Bundle

__version__ = '0.2.0'

__all__ = [
    'Bundle',
    'Calibration',
    'CalibrationRequest',
    'Cascade',
    'CascadeInferencer',
    'CascadeRouter',
    'CascadeSegInferencer',
    'CascadeSegmentor',
    'CellStore',
    'Plan',
    'RandomPolicy',
    'ScoreStore',
    'ThresholdPolicy',
    'WindowCascadeClassifier',
    'WindowPolicy',
    '__version__',
    'augrc',
    'aupr',
    'aurc',
    'auroc',
    'build_member',
    'calibrate',
    'certify',
    'coverage_at_risk',
    'e_aurc',
    'fpr_at_tpr',
    'open_store',
    'place_tau',
    'risk_at_coverage',
    'risk_coverage',
    'scod_curve',
    'search',
]

# The imports above, for the interpreter: what a module holds.
_MODULES = {
    'apis.cascade': ['Cascade'],
    'apis.inferencers.cascade_inferencer': ['CascadeInferencer'],
    'apis.inferencers.cascade_seg_inferencer': ['CascadeSegInferencer'],
    'calibration.fit.calibrate': ['calibrate'],
    'calibration.fit.result.calibration_file': ['Calibration'],
    'calibration.fit.certificates.certificate': ['certify'],
    'calibration.fit.thresholds.operating_point': ['place_tau'],
    'calibration.fit.request': ['CalibrationRequest'],
    'calibration.grid.plan': ['Plan'],
    'calibration.search.search': ['search'],
    'calibration.stores': ['open_store'],
    'calibration.stores.cell_store': ['CellStore'],
    'calibration.stores.score_store': ['ScoreStore'],
    'evaluation.curves.roc_curves': ['aupr', 'auroc', 'fpr_at_tpr'],
    'evaluation.curves.scod_curves': ['scod_curve'],
    'evaluation.curves.selective_curves': [
        'augrc',
        'aurc',
        'coverage_at_risk',
        'e_aurc',
        'risk_at_coverage',
        'risk_coverage',
    ],
    'models.cascade_classifier': ['WindowCascadeClassifier'],
    'models.cascade_segmentor': ['CascadeSegmentor'],
    'models.members.members': ['build_member'],
    'routing.policies.policies': ['RandomPolicy', 'ThresholdPolicy', 'WindowPolicy'],
    'routing.router': ['CascadeRouter'],
    'runtime.bundle': ['Bundle'],
}
__getattr__, __dir__ = lazy_names(__name__, _MODULES)
