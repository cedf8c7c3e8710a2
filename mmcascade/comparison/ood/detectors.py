# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Members, ensemble and cascades as detectors of what is out of distribution (OOD)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from mmengine.evaluator import Evaluator

from mmcascade.calibration.fit.two_sided.adjust import adjust
from mmcascade.calibration.replay.replay import Replay
from mmcascade.comparison.classification.scores import SplitScores
from mmcascade.comparison.classification.systems import (
    cascade_systems,
    deferred_shares,
    fixed_system,
    thresholds_for_shares,
)
from mmcascade.routing import CachedStage, ExitPolicy, RandomPolicy, WindowPolicy
from mmcascade.routing.policies.policies import Window

METRICS = (
    dict(type='mmcascade.OODDetection', tprs=(0.80, 0.95)),
    dict(type='mmcascade.SCOD', coverages=(0.5, 0.8)),
    dict(type='mmcascade.CascadeCost'),
)


@dataclass(frozen=True)
class Detector:
    """Members in order, the policy between them, and the accept threshold, if there is one."""

    order: tuple[str, ...]
    policy: ExitPolicy
    accept: float | None = None


def calibrated_detectors(
    calibration: SplitScores,
    test: SplitScores,
    names: np.ndarray,
    order: Sequence[str],
    others: Sequence[str],
    target: str,
) -> dict[str, Detector]:
    """Detectors whose windows and accept thresholds are placed on in-distribution data.

    Args:
        calibration: scores of the calibration split, which holds no test image.
        test: scores of all test images; only those of the adjusted window look at them, without labels.
        names: ``(N)``, the data set of each test image.
        order: the members of the cascade.
        others: further members to compare with.
        target: such as 'tpr=0.95'.
    """
    systems = {name: fixed_system(calibration, [name], target, []) for name in (*order, *others)}
    systems['ensemble'] = fixed_system(calibration, order, target, [(None, None)] * (len(order) - 1))
    systems |= cascade_systems(calibration, order, target)
    detectors = {
        name: Detector(system.order, system.policy, system.calibration.accept) for name, system in systems.items()
    }
    if calibration.identity.least_members > 1:  # the first gap has no window that could be adjusted
        return detectors
    mixture = mixed_units(names)
    first = test.stages[order[0]]
    seen = CachedStage(
        first.values[mixture],
        is_logits=first.is_logits,
        source=first.source,
        features=None if first.features is None else first.features[mixture],
    )
    adjusted = adjust(systems['cascade'].calibration, seen, len(mixture))
    return {**detectors, 'adjusted': Detector(tuple(order), adjusted.policy(), adjusted.accept)}


def given_detectors(
    test: SplitScores, names: np.ndarray, order: Sequence[str], windows: Sequence[Window | None]
) -> dict[str, Detector]:
    """Detectors around given windows, without accept thresholds; the shares are those of the ID test images."""
    cascade = WindowPolicy(windows)
    inside = test.only(np.flatnonzero(names == 'id'))
    shares = deferred_shares(inside.replay(order, cascade).reached(len(order)))
    alone = {name: Detector((name,), WindowPolicy([])) for name in order}
    policies = {
        'ensemble': WindowPolicy([(None, None)] * len(shares)),
        'cascade': cascade,
        'threshold': WindowPolicy(thresholds_for_shares(inside, order, shares)),
        'random': RandomPolicy(shares),
    }
    return {**alone, **{name: Detector(tuple(order), policy) for name, policy in policies.items()}}


def mixed_units(names: np.ndarray, seed: int = 0) -> np.ndarray:
    """Indexes of as many ID as OOD images, or all ID images if they are fewer."""
    inside, outside = np.flatnonzero(names == 'id'), np.flatnonzero(names != 'id')
    return np.r_[np.random.RandomState(seed).permutation(inside)[: len(outside)], outside]


def detector_metrics(
    result: Replay, labels: np.ndarray, names: np.ndarray, accept: float | None = None
) -> dict[str, float]:
    """The metrics that a test loop prints, from a replay; ``cost/mixture/macs`` weighs ID and OOD images 1:1.

    Args:
        result: of all units.
        labels: int ``(N)``, -1 = OOD.
        names: ``(N)``, each unit's data set.
        accept: accept a unit if its confidence is at least this.
    """
    samples = []
    for unit, label in enumerate(labels.tolist()):
        sample = dict(
            confidence=result.confidence[unit],
            pred_label=result.label[unit],
            gt_label=label,
            macs=result.macs[unit],
            exit_stage=result.exit_stage[unit],
        )
        if label < 0:
            sample |= dict(ood=True, dataset=names[unit])
        if accept is not None:
            sample['accepted'] = result.confidence[unit] >= accept
        samples.append(sample)
    values = Evaluator(copy.deepcopy(list(METRICS))).offline_evaluate(samples)
    inside = labels >= 0
    values['cost/mixture/macs'] = (result.macs[inside].mean() + result.macs[~inside].mean()) / 2e9
    return {key: float(value) for key, value in values.items()}
