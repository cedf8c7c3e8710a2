# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The parts of a segmentation cascade's config, checked and built."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmcascade.models.cells.choice import Choice
from mmcascade.models.cells.crops import ONE, scaled
from mmcascade.models.cells.grid import Grid, Size
from mmcascade.models.cells.tiled_image import TiledImage
from mmcascade.models.members.members import Member
from mmcascade.models.parts.cascade_parts import (
    COMMON_OPTIONS,
    ConfidenceSpec,
    Options,
    member_from_spec,
    stage_options,
)
from mmcascade.models.runtimes.networks.network import mac_counter
from mmcascade.models.runtimes.networks.segmentor_network import HeadNetwork, SegmentorNetwork, no_segmentor
from mmcascade.models.stages.choosing_stage import ChoosingStage
from mmcascade.models.stages.segmentor_stage import ON, SegmentorStage
from mmcascade.models.stages.stage import StageOptions
from mmcascade.registry import TASK_UTILS
from mmcascade.routing import Confidence, MacCounter
from mmcascade.routing.checks import is_number
from mmcascade.routing.confidences.cell_confidence import CellConfidence

_OPTIONS: Options = {
    **COMMON_OPTIONS,
    'on': (f'one of {ON}', lambda v: v in ON),
    'join': ("'rectangles', or None", lambda v: v in (None, 'rectangles')),
    'fallback': ("'image', or None", lambda v: v in (None, 'image')),
    'scale': ('a factor > 0, at most 8', lambda v: is_number(v) and 0 < v <= 8),
}
# Networks reduce images by 32 at most; a probe of this side has a few features left of all of them.
_PROBE = 256


def segmentor_from_spec(name: str, spec: Any) -> Member:
    """Build a member that labels pixels."""
    member = member_from_spec(name, spec)
    if reason := no_segmentor(member.module):
        raise ValueError(f'member {name!r} ({member.source}) cannot take part in a cascade: {reason}')
    return member


def cell_confidence(confidence: ConfidenceSpec) -> CellConfidence:
    """From a name, a config or an object."""
    if isinstance(confidence, Mapping):
        options = dict(confidence)
        if isinstance(options.get('reduce'), Mapping):
            options['reduce'] = TASK_UTILS.build(options['reduce'])
        confidence = TASK_UTILS.build(dict(type='mmcascade.CellConfidence') | options)
    if isinstance(confidence, CellConfidence):
        return confidence
    if not isinstance(confidence, (str, Confidence)):
        raise TypeError(
            "confidence is a name such as 'max_prob', or a config such as "
            f"dict(type='mmcascade.CellConfidence', pixel='max_prob', t_unk=0.5), got {confidence!r}"
        )
    return CellConfidence(confidence)


def build_segmentor_stages(
    members: nn.ModuleDict,
    stages: Sequence[Mapping[str, Any]],
    cell: Size | None,
    margin: int,
    confidence: CellConfidence,
) -> list[SegmentorStage]:
    """The stages of a cascade of segmentors."""
    # Judged by every pixel, cells need all of them anyway.
    kind = SegmentorNetwork if confidence.stride == 1 else HeadNetwork
    networks = {name: kind(module) for name, module in members.items()}
    counters = {name: mac_counter(network) for name, network in networks.items()}
    built = []
    for index, (name, config) in enumerate(stage_options(members, stages, _OPTIONS)):
        options, own = StageOptions.split(config)
        default = 'image' if index == 0 or cell is None else 'cell'
        own.setdefault('on', default)
        if own['on'] == 'cell' and index == 0:
            raise ValueError(
                "stage 0 labels the whole image, from which cells are chosen; leave on='cell' to later stages"
            )
        if confidence.needs_logits and not networks[name].gives_logits:
            raise ValueError(
                f'confidence {confidence.pixel.name!r} needs logits, but the head of member {name!r} in stage {index} '
                "gives sums of mask probabilities; use 'max_prob', 'prob_gap', 'neg_entropy' or 'logit_gap'"
            )
        own['step'] = confidence.stride
        stage = _stage(index, (name, networks[name], counters[name], options), margin, own)
        if stage.on == 'cell' and cell is not None:
            _check_cell(stage, members[name], index, cell)
        built.append(stage)
    return built


def _stage(
    index: int, member: tuple[str, SegmentorNetwork, MacCounter, StageOptions], margin: int, own: dict[str, Any]
) -> SegmentorStage:
    choice = Choice(own.pop('join', None), own.pop('fallback', None))
    if own['on'] == 'image':  # which is where it would fall back to
        if choice.join:
            raise ValueError(
                f'stage {index} runs on whole images, and join={choice.join!r} joins crops around cells; leave join= '
                "out, or run the stage with on='cell' and give the grid a cell= to cut images into"
            )
        return SegmentorStage(*member, margin=margin, **own)
    if not choice:
        return SegmentorStage(*member, margin=margin, **own)
    if member[3].macs is not None:
        raise ValueError(
            f'stage {index} has one number as macs={member[3].macs:g}, and {choice} compares the cost of crops with '
            'each other, or with that of the whole image; leave one of them out'
        )
    del own['on']
    return ChoosingStage(*member, choice, margin=margin, **own)


def _check_cell(stage: SegmentorStage, module: nn.Module, index: int, cell: Size) -> None:
    """Raise ValueError if the member does not take crops, or a cell is less than one feature of it."""
    joined = isinstance(stage, ChoosingStage) and stage.choice.join
    for rows, columns in (ONE, (1, 2), (2, 1)) if joined else (ONE,):
        crop = (rows * cell[0] + 2 * stage.margin, columns * cell[1] + 2 * stage.margin)
        pixels = torch.empty(3, *crop, dtype=torch.uint8)
        stage.counted(stage.seen(TiledImage(pixels, Grid(crop, cell)), (rows, columns)))
    stride = output_stride(module)
    if stride is not None and min(scaled(cell, stage.scale)) < stride:
        raise ValueError(
            f'a cell of {cell[0]} x {cell[1]} pixels at scale {stage.scale:g} is smaller than the stride '
            f'{stride} of the backbone of member {stage.member!r} in stage {index}, so it has less than '
            'one feature of its own; make cell= larger'
        )


@torch.no_grad()
def output_stride(module: Any) -> int | None:
    """Pixels of the image per feature of the coarsest map that the head gets; None if the backbone does not tell."""
    parameter = next(module.parameters(), torch.empty(0))
    try:
        features = module.extract_feat(parameter.new_zeros(1, 3, _PROBE, _PROBE))
    except Exception:  # whatever networks do that want more than an image
        return None
    maps = features if isinstance(features, (tuple, list)) else [features]
    sides = [x.shape[-1] for x in maps if isinstance(x, Tensor) and x.dim() == 4 and x.shape[-1] > 1]
    return math.ceil(_PROBE / min(sides)) if sides else None
