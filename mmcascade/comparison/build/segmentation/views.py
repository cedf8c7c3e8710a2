# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The one view of a segmentation cascade, from the test pipelines of its members."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config
from mmseg.registry import DATASETS

from mmcascade.comparison.build.words import NamedMember
from mmcascade.engine.configs.datasets import pipeline_owners, type_name
from mmcascade.models.members.member_configs import read_member_config

_LOADING, _RESIZE = 'LoadImageFromFile', 'Resize'
_LABELS = ('LoadAnnotations',)
_PACKING = ('PackSegInputs', 'Collect', 'ImageToTensor')
_META = (
    'img_path', 'seg_map_path', 'ori_shape', 'img_shape', 'pad_shape', 'scale_factor', 'flip', 'flip_direction',
    'reduce_zero_label', 'sample_idx',
)  # fmt: skip


@dataclass(frozen=True)
class SegView:
    """What a segmentor sees of an image.

    Attributes:
        steps: from its file to its pixels.
        reduce_zero_label: whether class 0 of its masks counts nowhere.
    """

    steps: Sequence[Mapping[str, Any]]
    reduce_zero_label: bool

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height that it resizes to, if it does."""
        found = [step.get('scale') for step in self.steps if type_name(step) == _RESIZE]
        return (int(found[0][0]), int(found[0][1])) if len(found) == 1 and found[0] is not None else None

    @property
    def without_size(self) -> str:
        """Everything else, for comparison."""
        steps = [
            {key: value for key, value in step.items() if (type_name(step), key) != (_RESIZE, 'scale')}
            for step in self.steps
        ]
        return json.dumps(steps, sort_keys=True, default=str)


def seg_view(named: NamedMember) -> SegView:
    """How a member sees images, from its own config.

    Raises:
        ValueError: if its config does not tell.
    """
    config = read_member_config(named.model)
    owners = pipeline_owners((config.get('test_dataloader') or {}).get('dataset'))
    if not owners and 'test_pipeline' not in config:
        raise ValueError(
            f'{named.model} has neither a test_dataloader with a pipeline nor a test_pipeline, so how its images are '
            'prepared is not known'
        )
    steps = owners[0]['pipeline'] if owners else config.test_pipeline
    kept = [_plain(step) for step in steps if type_name(step) not in (*_LABELS, *_PACKING)]
    return SegView(kept, bool(owners) and _reduces_zero_label(owners[0]))


def shared_view(named: Sequence[NamedMember]) -> tuple[SegView, dict[str, float]]:
    """The view that all members read, which is that of the largest images, and the scale of each member on it.

    Raises:
        ValueError: if the pipelines differ in more than the size of the images.
    """
    views = {member.name: seg_view(member) for member in named}
    first, *others = views.values()
    for name, view in views.items():
        if view.without_size != first.without_size or view.reduce_zero_label != first.reduce_zero_label:
            raise ValueError(
                f'the members {named[0].name!r} and {name!r} prepare images in different ways, and a cascade of '
                f'segmentors reads each image once: {first.without_size} and {view.without_size}'
            )
    sizes = {name: view.size for name, view in views.items()}
    known = {size for size in sizes.values() if size is not None}
    if len(known) < 2 and not (known and None in sizes.values()):
        return first, dict.fromkeys(views, 1.0)
    if None in sizes.values():
        raise ValueError(f'some members resize images and others do not: {sizes}; give their pipelines one Resize')
    largest = max(known, key=lambda size: size[0] * size[1])
    scales = {}
    for name, size in sizes.items():
        assert size is not None
        width, height = size[0] / largest[0], size[1] / largest[1]
        if abs(width - height) > 0.01 * height:
            raise ValueError(f'the members resize images to different shapes: {sizes}; give their Resize one shape')
        scales[name] = round(height, 6)
    return next(view for view in views.values() if view.size == largest), scales


def pipeline_of(view: SegView) -> list[dict[str, Any]]:
    """The pipeline of a view, with labels at the size of the original image."""
    packing = dict(type='PackSegInputs', meta_keys=_META)
    return [*map(dict, view.steps), dict(type='LoadAnnotations'), packing]


def _reduces_zero_label(dataset: Mapping[str, Any]) -> bool:
    if 'reduce_zero_label' in dataset:
        return bool(dataset['reduce_zero_label'])
    kind = DATASETS.get(str(dataset.get('type')))
    given = None if kind is None else inspect.signature(kind.__init__).parameters.get('reduce_zero_label')
    return given is not None and given.default is True


def _plain(step: Any) -> dict[str, Any]:
    plain: dict[str, Any] = Config(dict(step=step)).to_dict()['step']
    return plain
