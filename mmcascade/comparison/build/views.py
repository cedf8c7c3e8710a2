# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What each member sees of an image, from its own library or its own config, and one pipeline for all of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mmcascade.comparison.build.words import NamedMember
from mmcascade.engine.configs.datasets import pipelines, type_name
from mmcascade.models.members.member_configs import read_member_config
from mmcascade.models.members.members import Member
from mmcascade.models.stages.resolution import known_channels

_LOADING = 'LoadImageFromFile'
_PACKING = ('PackInputs', 'LoadAnnotations', 'Collect', 'ImageToTensor')
_SEVERAL = ('MultiView', 'TestTimeAug', 'PackMultiTaskInputs')


@dataclass(frozen=True)
class MemberView:
    """What a member sees.

    Attributes:
        loading: the transform that reads a file.
        transforms: from there to the pixels that it sees.
    """

    loading: dict[str, Any]
    transforms: list[dict[str, Any]] = field(default_factory=list)


def view_of(named: NamedMember, member: Member) -> MemberView:
    """The view of a member: its library's recipe, or the test pipeline of its config.

    Raises:
        ValueError: if its config has no pipeline, or one of several views.
    """
    loading: dict[str, Any] = dict(type=_LOADING)
    if member.recipe is not None:
        return MemberView(loading, [dict(type='mmcascade.ViewSteps', **member.recipe.view)])
    config = read_member_config(named.model)
    loader = config.get('test_dataloader') or {}
    found = pipelines(loader.get('dataset')) or ([config.test_pipeline] if 'test_pipeline' in config else [])
    if not found:
        raise ValueError(
            f'{named.model} has neither a test_dataloader with a pipeline nor a test_pipeline, so how its images are '
            'prepared is not known'
        )
    steps = [dict(step) for step in found[0]]
    several = [name for name in map(type_name, steps) if name in _SEVERAL]
    if several:
        raise ValueError(f'the test pipeline of {named.model} has {several[0]}; build takes members of one view each')
    own = [step for step in steps if type_name(step) == _LOADING]
    if own:
        loading = own[0]
    elif known_channels(member.module) == 1:  # its images came from memory, and are files now
        loading = dict(loading, color_type='grayscale')
    return MemberView(loading, [step for step in steps if type_name(step) not in (_LOADING, *_PACKING)])


def shared_views(views: Sequence[MemberView]) -> tuple[list[int], list[MemberView]]:
    """Which view each member reads, and the views; equal ones are one.

    Raises:
        ValueError: if members read files in different ways.
    """
    texts = [json.dumps(view.transforms, sort_keys=True, default=str) for view in views]
    loading = {json.dumps(view.loading, sort_keys=True, default=str) for view in views}
    if len(loading) > 1:
        raise ValueError(f'the members read files in different ways, and a cascade reads each once: {sorted(loading)}')
    distinct = list(dict.fromkeys(texts))
    return [distinct.index(text) for text in texts], [views[texts.index(text)] for text in distinct]


def pipeline_for(views: Sequence[MemberView]) -> list[dict[str, Any]]:
    """The pipeline that makes these views, in their order."""
    packing = dict(type='PackInputs')
    if len(views) == 1:
        return [views[0].loading, *views[0].transforms, packing]
    multi = dict(type='MultiView', num_views=[1] * len(views), transforms=[view.transforms for view in views])
    return [views[0].loading, multi, packing]
