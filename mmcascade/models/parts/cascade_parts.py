# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The parts of a cascade's config, checked and built."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, cast

import torch
from torch import nn

from mmcascade.models.members.members import Member, build_member
from mmcascade.models.parts.exit_parts import (
    EXIT_KEYS,
    EXIT_OPTIONS,
    Options,
    check_exit_options,
    checked_trunks,
)
from mmcascade.models.runtimes.batch_sizes import AUTO
from mmcascade.models.runtimes.engines import engine_from
from mmcascade.models.runtimes.execution import PRECISIONS
from mmcascade.models.runtimes.networks.class_outputs import ScoreFunction, class_output
from mmcascade.models.runtimes.networks.classifier_network import ClassifierNetwork
from mmcascade.models.runtimes.networks.exit_network import ExitCosts, ExitNetwork
from mmcascade.models.runtimes.networks.features import feature_output, no_features
from mmcascade.models.runtimes.networks.network import mac_counter
from mmcascade.models.stages.classifier_stage import ClassifierStage
from mmcascade.models.stages.exit_stage import Course, ExitStage
from mmcascade.models.stages.stage import StageOptions
from mmcascade.models.stages.views.clip_frames import LAYOUTS, Frames, Layout
from mmcascade.models.stages.views.device_view import INTERPOLATIONS, DeviceView, checked_size
from mmcascade.models.stages.views.resolution import input_channels
from mmcascade.routing import Confidence, ExitPolicy, ThresholdPolicy, WindowPolicy
from mmcascade.routing.checks import is_finite, is_whole

#: The name of a confidence, the config of one, or an object.
ConfidenceSpec = str | Mapping[str, Any] | Confidence
#: What float32 adds to a score at the end of its range.
_ROUNDING = 1e-5


def member_from_spec(name: str, spec: Any) -> Member:
    """Build a member from what a config says of it, or from a module."""
    if isinstance(spec, nn.Module):
        return build_member(name, spec)
    known = ('model', 'checkpoint', 'unsafe_checkpoint', 'classes')
    if not isinstance(spec, Mapping) or 'model' not in spec or set(spec) - set(known):
        raise ValueError(f'member {name!r} is a dict with model= and optionally {known[1:]}, got {spec!r}')
    _check_spec(name, spec)
    return build_member(name, **spec)


def _check_spec(name: str, spec: Mapping[str, Any]) -> None:
    model, checkpoint, classes = (spec.get(key) for key in ('model', 'checkpoint', 'classes'))
    if not isinstance(model, (str, PathLike, Mapping, nn.Module)):
        raise ValueError(
            f'model of member {name!r} is a name in a zoo, the path of a config, a dict or a module, got {model!r}'
        )
    if not isinstance(checkpoint, (str, PathLike, type(None))):
        raise ValueError(f"checkpoint of member {name!r} is a path, a URL, 'zoo' or None, got {checkpoint!r}")
    if not isinstance(spec.get('unsafe_checkpoint', False), bool):
        raise ValueError(f'unsafe_checkpoint of member {name!r} is True or False, got {spec["unsafe_checkpoint"]!r}')
    if classes is not None and (isinstance(classes, str) or not _are_names(classes)):
        raise ValueError(f'classes of member {name!r} is a list of names, got {classes!r}')


def _are_names(classes: Any) -> bool:
    return isinstance(classes, Sequence) and len(classes) > 0 and all(isinstance(name, str) for name in classes)


def classifier_from_spec(name: str, spec: Any) -> Member:
    """Build a member that classifies images."""
    member = member_from_spec(name, spec)
    if hasattr(member.module, 'decode_head'):
        raise ValueError(
            f'member {name!r} ({member.source}) is a {type(member.module).__name__}, which labels pixels; '
            'a WindowCascadeClassifier takes classifiers'
        )
    return member


def build_stages(
    members: nn.ModuleDict, stages: Sequence[Mapping[str, Any]], scores: ScoreFunction = class_output
) -> list[ClassifierStage]:
    """The stages of a cascade of classifiers."""
    networks = {name: ClassifierNetwork(module, scores) for name, module in members.items()}
    counters = {name: mac_counter(network) for name, network in networks.items()}
    configs = stage_options(members, stages, _OPTIONS)
    trunks = checked_trunks(members, configs)
    built: list[ClassifierStage] = []
    for index, (name, config) in enumerate(configs):
        at_exit = {key: config.pop(key) for key in EXIT_KEYS if key in config}
        options, own = StageOptions.split(config)
        view, changes = own.pop('view', 0), _device_view(own, members[name])
        if 'exit' in at_exit:
            check_exit_options(index, options, gives_features=scores is not class_output)
            before = at_exit.get('continues')
            course = Course(
                trunks[index],
                None if before is None else cast(ExitStage, built[before]),
                at_exit.get('waits_with', 'state'),
            )
            costs = ExitCosts(ExitNetwork(members[name], at_exit['exit']))
            built.append(ExitStage(name, costs, options, view, changes, course))
        else:
            built.append(ClassifierStage(name, networks[name], counters[name], options, view, changes))
        of_clips = changes.frames is not None or getattr(members[name], 'clip', None) is not None
        if (size := changes.size) is not None and not of_clips:  # other sizes are known with the first batch
            built[-1].counted(torch.empty(1, input_channels(members[name]), *size, dtype=torch.uint8))
    return built


def _device_view(options: Mapping[str, Any], member: nn.Module) -> DeviceView:
    """What is done to a view, from the options of a stage."""
    own = dict(options)
    of_view = own.pop('layout', 'NTCHW')
    # Networks of the libraries take the usual order and bring it to their own; other modules get that of the view.
    layout = Layout(of_view, of_view if getattr(member, 'clip', None) is None else 'NTCHW')
    count, part = own.pop('frames', None), own.pop('part', None)
    frames = None if count is None and part is None else Frames(count, (0, 1) if part is None else tuple(part))
    return DeviceView(**own, frames=frames, layout=layout)


def stage_options(members: nn.ModuleDict, stages: Any, checks: Options) -> list[tuple[str, dict[str, Any]]]:
    """The member and the options of every stage in a config.

    Raises:
        ValueError, TypeError: on anything that is not among the options, or has no valid value.
    """
    if not stages:
        raise ValueError(
            "a cascade needs at least one stage, got stages=[]; name a member in stages=[dict(member='...'), ...]"
        )
    if not isinstance(stages, Sequence) or isinstance(stages, str):
        raise TypeError(f"stages is a list such as [dict(member='...'), ...], got {stages!r}")
    found = []
    for index, stage in enumerate(stages):
        if not isinstance(stage, Mapping):
            raise TypeError(f"stage {index} is a dict such as dict(member='...'), got {stage!r}")
        options = dict(stage)
        name = options.pop('member', None)
        if not isinstance(name, str) or name not in members:
            raise ValueError(f'stage {index} names member {name!r}; expected one of {sorted(members)}')
        _check_options(index, options, checks)
        found.append((name, options))
    unused = set(members) - {name for name, _ in found}
    if unused:
        warnings.warn(f'member(s) {sorted(unused)} are loaded but no stage uses them', stacklevel=4)
    return found


def _check_options(index: int, options: Mapping[str, Any], checks: Options) -> None:
    for key, value in options.items():
        if key not in checks:
            raise ValueError(f'stage {index} has the unknown key {key!r}; expected member and any of {sorted(checks)}')
        expected, is_valid = checks[key]
        if not is_valid(value):
            raise ValueError(f'{key} of stage {index} is {expected}, got {value!r}')


def _is_part(value: Any) -> bool:
    pair = isinstance(value, (list, tuple)) and len(value) == 2 and all(is_whole(n, 0) for n in value)
    return pair and value[0] < value[1]


def _is_size(value: Any) -> bool:
    try:
        return value is None or bool(checked_size(value))
    except ValueError:
        return False


COMMON_OPTIONS: Options = {
    'batch_size': ("a whole number >= 1, 'auto' or None", lambda v: v in (None, AUTO) or is_whole(v, 1)),
    'macs': ('multiply-adds per image >= 0 or None', lambda v: v is None or is_finite(v) and v >= 0),
    'temperature': ('a number > 0', lambda v: is_finite(v) and v > 0),
    'channels_last': ('True or False', lambda v: isinstance(v, bool)),
    'amp': (f'one of {sorted(PRECISIONS)} or None', lambda v: v is None or v in PRECISIONS),
    'runtime': ('what runs the member', lambda v: engine_from(v) is None or True),
    'compile': ('True, False or a mode of torch.compile', lambda v: isinstance(v, (bool, str))),
}
_OPTIONS: Options = {
    **COMMON_OPTIONS,
    'view': ('a view index >= 0', lambda v: is_whole(v, 0)),
    'resize': ('the side of a square or (height, width), in whole pixels from 1, or None', _is_size),
    'flip': ('True or False', lambda v: isinstance(v, bool)),
    'interpolation': (f'one of {INTERPOLATIONS}', lambda v: v in INTERPOLATIONS),
    'frames': ('a number of frames >= 1 or None', lambda v: v is None or is_whole(v, 1)),
    'part': ('(number, of how many), such as (0, 3) for the first third of a clip', _is_part),
    'layout': (f'the order of the dimensions of clips, one of {sorted(LAYOUTS)}', lambda v: v in LAYOUTS),
    **EXIT_OPTIONS,
}


def scores_for(confidence: Confidence) -> ScoreFunction:
    """What members must give for a confidence function."""
    return feature_output if confidence.needs_features else class_output


def check_confidence(confidence: Confidence, stages: Sequence[ClassifierStage], members: nn.ModuleDict) -> None:
    """Raise ValueError if a stage does not give what the confidence function reads."""
    for index, stage in enumerate(stages):
        if confidence.needs_logits and not stage.network.gives_logits:
            raise ValueError(
                f'confidence {confidence.name!r} needs logits, but member {stage.member!r} of stage {index} gives '
                "probabilities only; use 'max_prob', 'prob_gap', 'neg_entropy' or 'logit_gap'"
            )
        if confidence.needs_features and (reason := no_features(members[stage.member])):
            raise ValueError(
                f'confidence {confidence.name!r} reads features, which member {stage.member!r} of stage {index} does '
                f"not give: {reason}; use 'energy', 'max_prob' or another confidence that reads class scores"
            )
    confidence.check({stage.source: '' for stage in stages})


def checked_accept(accept: float | None, confidence: Confidence, name: str = 'accept') -> float | None:
    """The accept threshold of a config; ValueError where it is none, or the confidence can never be there."""
    if accept is None:
        return None
    if not is_finite(accept):
        raise ValueError(f'{name} is the lowest confidence that is accepted, a finite number or None, got {accept!r}')
    _check_range(accept, name, confidence, f'or leave {name} out')
    return float(accept)


def check_bounds(policy: ExitPolicy, confidence: Confidence) -> None:
    """Raise ValueError where a window or threshold has a bound at which the confidence can never be."""
    for gap, rule in enumerate(policy.rules if isinstance(policy, (WindowPolicy, ThresholdPolicy)) else ()):
        for bound in rule if isinstance(rule, tuple) else (rule,):
            if bound is not None and is_finite(bound):
                _check_range(bound, f'a bound of gap {gap}', confidence, 'or None for an open side')


def _check_range(value: float, name: str, confidence: Confidence, fix: str) -> None:
    low, high = confidence.range
    if not low - _ROUNDING <= value <= high + _ROUNDING:
        raise ValueError(
            f'{name} is {value:g}, and confidence {confidence.name!r} lies in [{low:g}, {high:g}]; give a number in '
            f'there, {fix}'
        )
