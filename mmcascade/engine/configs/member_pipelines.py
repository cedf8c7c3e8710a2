# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How a member prepares its images, from its own config."""

from __future__ import annotations

from typing import Any

from mmcascade.engine.configs.datasets import pipelines, type_name
from mmcascade.models.members.member_configs import read_member_config
from mmcascade.models.members.members import Member
from mmcascade.models.stages.views.resolution import known_channels

LOADING = 'LoadImageFromFile'
_SEVERAL = ('MultiView', 'TestTimeAug', 'PackMultiTaskInputs')


def member_pipeline(model: str, member: Member) -> list[dict[str, Any]]:
    """The test pipeline of a member that is named by a config or in a zoo; it begins with how a file is read.

    Args:
        model: what :func:`~mmcascade.models.members.members.build_member` took.
        member: what came of it.

    Raises:
        ValueError: if its config has no pipeline, or one of several views.
    """
    config = read_member_config(model)
    loader = config.get('test_dataloader') or {}
    found = pipelines(loader.get('dataset')) or ([config.test_pipeline] if 'test_pipeline' in config else [])
    if not found:
        raise ValueError(
            f'{model} has neither a test_dataloader with a pipeline nor a test_pipeline, so how its images are '
            'prepared is not known'
        )
    steps = [dict(step) for step in found[0]]
    several = [name for name in map(type_name, steps) if name in _SEVERAL]
    if several:
        raise ValueError(f'the test pipeline of {model} has {several[0]}; build takes members of one view each')
    loading = next((step for step in steps if type_name(step) == LOADING), None)
    if loading is None:
        grey = known_channels(member.module) == 1  # its images came from memory, and are files now
        loading = dict(type=LOADING, color_type='grayscale') if grey else dict(type=LOADING)
    return [loading, *(step for step in steps if type_name(step) != LOADING)]
