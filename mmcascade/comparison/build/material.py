# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Members and images of a build, looked at before anything runs for long."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

from mmcascade.comparison.build.config import Loading, PlacedMember, cascade_config, counted_macs
from mmcascade.comparison.build.images import labelled_images
from mmcascade.comparison.build.request import BuildRequest
from mmcascade.comparison.build.views import MemberView, shared_views, view_of
from mmcascade.comparison.build.words import NamedMember
from mmcascade.engine.configs.classes import check_dataset
from mmcascade.models.members.members import Member
from mmcascade.models.parts.cascade_parts import classifier_from_spec

#: So many names of small classes are said.
_NAMED = 5


@dataclass(frozen=True)
class Material:
    """What a cascade of classifiers is built from.

    Attributes:
        named: the members as they were named, cheap first.
        members: the same, built.
        views: what each sees.
        data: config of the data set without its pipeline.
        rare: names of classes with too few images to be in both parts.
    """

    named: Sequence[NamedMember]
    members: Mapping[str, Member]
    views: Mapping[str, MemberView]
    data: Mapping[str, Any]
    rare: Sequence[str] = ()

    @classmethod
    def of(cls, request: BuildRequest) -> Material:
        """Build the members, look at the images, and put the members in the order of their multiply-adds.

        Raises:
            ValueError, OSError: saying what to put right.
        """
        named, members = request.built_members(classifier_from_spec)
        classes = next((member.classes for member in members.values() if member.classes), None)
        data = labelled_images(request.data, request.out, classes)
        if classes and 'ann_file' in data:
            data.setdefault('metainfo', dict(classes=list(classes)))  # a list of numbers, which count in their order
        if classes is None and (known := data.get('metainfo')):
            named = [replace(member, classes=tuple(known['classes'])) for member in named]
        views = {member.name: view_of(member, members[member.name]) for member in named}
        typed = cls(named, members, views, data)
        config = typed.config(typed.cheap_first(), request.loading)
        macs = dict(zip([member.name for member in named], counted_macs(config, members), strict=True))
        rare = typed.check_images(config)
        return replace(typed, rare=rare, named=sorted(named, key=lambda member: macs[member.name] or 0))

    def cheap_first(self) -> list[PlacedMember]:
        """Every member on its own view."""
        return [PlacedMember(member, self.views[member.name]) for member in self.named]

    def everywhere(self) -> list[PlacedMember]:
        """Every member on every view, its own one first."""
        _, distinct = shared_views([self.views[member.name] for member in self.named])
        return [
            PlacedMember(member, view)
            for member in self.named
            for view in sorted(distinct, key=lambda view: not view.same(self.views[member.name]))
        ]

    def name(self, stage: PlacedMember) -> str:
        """A stage in words: its member, with whose view it sees where that is not its own."""
        name = stage.member.name
        if stage.view.same(self.views[name]):
            return name
        return f'{name} on the view of {next(n for n, view in self.views.items() if view.same(stage.view))}'

    def config(self, stages: Sequence[PlacedMember], loading: Loading) -> Config:
        """The config of a cascade of some stages."""
        return cascade_config(stages, self.data, loading)

    def check_images(self, config: Config) -> list[str]:
        """Raise ValueError unless the classes of both parts are the members', before anything runs for long.

        Returns:
            Names of classes that have too few images to be in both parts.
        """
        from mmcascade.models.cascade_classifier import WindowCascadeClassifier

        init_default_scope('mmpretrain')
        stages = config.model.to_dict()['stages']
        used = {stage['member'] for stage in stages}
        model = WindowCascadeClassifier(
            {
                name: dict(model=member.module, classes=member.classes)
                for name, member in self.members.items()
                if name in used
            },
            stages,
        )
        parts = [DATASETS.build(copy.deepcopy(config[f'{split}_dataloader'].dataset)) for split in ('val', 'test')]
        for part in parts:
            check_dataset(model, part, '--data')
        classes = parts[0].metainfo.get('classes') or ()
        return [classes[label] if label < len(classes) else str(label) for label in parts[0].rare_classes]


def rare_classes_sentence(names: Sequence[str]) -> str:
    """What is said of classes that are too small to be in both parts.

    Example:
        >>> rare_classes_sentence(['okapi'])
        'okapi has too few images for a calibration and a report part, so it is in one of them only'
    """
    if len(names) == 1:
        return f'{names[0]} has too few images for a calibration and a report part, so it is in one of them only'
    more = f' and {len(names) - _NAMED} more' if len(names) > _NAMED else ''
    return (
        f'{len(names)} classes have too few images for a calibration and a report part, so they are divided as one: '
        f'{", ".join(names[:_NAMED])}{more}'
    )
