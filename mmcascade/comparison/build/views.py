# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What each member sees of an image, from its own library or its own config, and one pipeline for all of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mmcascade.comparison.build.words import NamedMember
from mmcascade.engine.configs.datasets import type_name
from mmcascade.engine.configs.member_pipelines import LOADING, member_pipeline
from mmcascade.models.members.members import Member

_PACKING = ('PackInputs', 'LoadAnnotations', 'Collect', 'ImageToTensor')


@dataclass(frozen=True)
class MemberView:
    """What a member sees.

    Attributes:
        loading: the transform that reads a file.
        transforms: from there to the pixels that it sees.
    """

    loading: dict[str, Any]
    transforms: list[dict[str, Any]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Its transforms, for comparison."""
        return json.dumps(self.transforms, sort_keys=True, default=str)

    def same(self, other: MemberView) -> bool:
        """Whether both make the same of a file that was read."""
        return self.text == other.text


def view_of(named: NamedMember, member: Member) -> MemberView:
    """The view of a member: its library's recipe, or the test pipeline of its config.

    Raises:
        ValueError: if its config has no pipeline, or one of several views.
    """
    if member.recipe is not None:
        return MemberView(dict(type=LOADING), [dict(type='mmcascade.ViewSteps', **member.recipe.view)])
    loading, *steps = member_pipeline(named.model, member)
    return MemberView(loading, [step for step in steps if type_name(step) not in _PACKING])


def shared_views(views: Sequence[MemberView]) -> tuple[list[int], list[MemberView]]:
    """Which view each member reads, and the views; equal ones are one.

    Raises:
        ValueError: if members read files in different ways.
    """
    texts = [view.text for view in views]
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
