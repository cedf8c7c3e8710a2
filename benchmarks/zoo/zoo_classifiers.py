# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A classifier as two members of a cascade, beside the library's own test step.

Compared are the mean of two members with the mean of the library's own predictions; the exits and costs of a threshold
between two images; multiply-adds with torch's counter on a real row; and that nothing of the count is left in a member.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import timm
import torch
from mmengine.model import BaseModel
from torch import Tensor
from zoo_found import Found, found, leftovers, macs_ratio, not_built, refused
from zoo_networks import Weights, draw_images, draw_two, library_builds, loaded, member_specs, predict

from mmcascade.models.cascade_classifier import WindowCascadeClassifier
from mmcascade.routing import ThresholdPolicy, WindowPolicy

_SMALL = 64
_IMAGES = 3
_CLOSE = 1e-4
_STAGES = [dict(member='a'), dict(member='b')]


def check_classifier(model: str | dict[str, Any], own_size: int) -> Found:
    """A reference into a zoo, or a model dict."""
    start = time.perf_counter()
    built = library_builds(model)
    if isinstance(built, str):
        return not_built(model, built)
    if refusal := refused(model):
        return found('refused', refusal)
    for size in dict.fromkeys((_SMALL, own_size)):
        images = draw_images(_IMAGES, size)
        members = draw_two(built, images)
        if not isinstance(members, str):
            break
    else:
        return found('library', str(members))  # which it is here
    numbers, faults = _beside_the_library(model, built, members, images)
    status = 'fault' if faults else 'works'
    seconds = round(time.perf_counter() - start, 1)
    return found(status, '; '.join(faults), size=size, **numbers, seconds=seconds)


def smallest_of_timm(module: str, number: int) -> Found:
    """The names of the smallest networks of a timm module."""
    counted = []
    for name in timm.list_models(module=module)[:40]:
        # Some build their tables on a device of their own, which 'meta' is not.
        with contextlib.suppress(Exception), torch.device('meta'):
            network = timm.create_model(name)
            counted.append((sum(parameter.numel() for parameter in network.parameters()), name))
    return {'names': [name for _, name in sorted(counted)[:number]]}


def _beside_the_library(
    model: str | dict[str, Any], built: BaseModel, members: tuple[Weights, Weights], images: Tensor
) -> tuple[dict[str, Any], list[str]]:
    """What is measured of two members, and their faults."""
    with tempfile.TemporaryDirectory() as folder:
        specs = member_specs(model, members, folder)
        cascade = WindowCascadeClassifier(specs, _STAGES, policy=WindowPolicy([(None, None)]))
        samples = cascade.test_step(dict(inputs=images))
        alone = [predict(loaded(built, weights), images) for weights in members]
        expected = torch.stack(alone).double().mean(0)
        got = torch.stack([sample.pred_score for sample in samples]).double()
        difference = float((got - expected).abs().max() / expected.abs().max())
        macs = samples[0].macs / 2
        numbers = dict(
            parameters=sum(parameter.numel() for parameter in built.parameters()),
            macs=macs,
            ratio=macs_ratio(macs, built, images[:1]),
            difference=difference,
        )
        faults = [] if difference < _CLOSE else [f'predictions differ by {difference:.2g}']
        faults += leftovers(cascade)
        faults += _threshold(specs, alone[0], images)
    return numbers, faults


def _threshold(specs: Mapping[str, Any], first: Tensor, images: Tensor) -> list[str]:
    """Faults of a cascade whose threshold lies between two images."""
    scores = first.float().max(1).values
    ordered = scores.sort().values
    if float(ordered[1] - ordered[0]) < _CLOSE:
        return []
    threshold = float((ordered[0] + ordered[1]) / 2)
    cascade = WindowCascadeClassifier(specs, _STAGES, policy=ThresholdPolicy([threshold]))
    samples = cascade.test_step(dict(inputs=images))
    exits = [sample.exit_stage for sample in samples]
    expected = (scores <= threshold).long().tolist()
    if exits != expected:
        return [f'exits {exits} instead of {expected}']
    costs = {sample.macs / (sample.exit_stage + 1) for sample in samples}
    return [] if len(costs) == 1 else [f'costs per stage {sorted(costs)}']
