# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Policies, maps and the confidence of cells as cascade.json has them."""

from __future__ import annotations

from typing import Any

from mmcascade.routing import ExitPolicy, RandomPolicy, ScoreMap, ThresholdPolicy, WindowPolicy
from mmcascade.routing.confidences.cell_confidence import CellConfidence
from mmcascade.routing.confidences.pixel_reducers import FractionBelowReducer, MeanReducer, QuantileReducer


def policy_json(policy: ExitPolicy) -> dict[str, Any]:
    """A policy as data.

    Raises:
        ValueError: on a policy that a bundle cannot hold, such as one that learns from the images before.
    """
    if type(policy) is WindowPolicy:
        return {'type': 'window', 'windows': [None if rule is None else list(rule) for rule in policy.rules]}
    if type(policy) is ThresholdPolicy:
        return {'type': 'threshold', 'thresholds': list(policy.rules)}
    if type(policy) is RandomPolicy:
        return {'type': 'random', 'rates': list(policy.rules), 'seed': policy.seed}
    raise ValueError(
        f'a bundle holds windows, thresholds or random shares, not {type(policy).__name__}; calibrate the cascade '
        'without it (leave --adapt and --max-cells out)'
    )


def maps_json(maps: Any) -> list[dict[str, Any] | None] | None:
    """Score maps as data, one per stage, or None where there is none."""
    if maps is None:
        return None
    return [exit_map.to_json() if isinstance(exit_map, ScoreMap) else None for exit_map in maps]


def cells_json(confidence: CellConfidence) -> dict[str, Any]:
    """The confidence of a cell as data.

    Raises:
        ValueError: on a reducer that a bundle cannot hold.
    """
    reducer = confidence.reducer
    if type(reducer) is MeanReducer:
        found: dict[str, Any] = {'reduce': 'mean'}
    elif type(reducer) is QuantileReducer:
        found = {'reduce': 'quantile', 'number': reducer.q}
    elif type(reducer) is FractionBelowReducer:
        found = {'reduce': 'fraction_below', 'number': reducer.bound}
    else:
        raise ValueError(
            f'a bundle holds the mean, a quantile or fraction_below of the pixels of a cell, not {reducer.name!r}'
        )
    return found | {'t_unk': confidence.t_unk, 'empty': confidence.empty, 'stride': confidence.stride}
