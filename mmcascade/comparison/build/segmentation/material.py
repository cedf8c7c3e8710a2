# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Segmentors, images and masks of a build, looked at before anything runs for long."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mmengine.config import Config

from mmcascade.calibration.replay.quality.class_iou import class_number
from mmcascade.comparison.build.config import Loading
from mmcascade.comparison.build.segmentation.config import first_image, fitting_cell, seg_config
from mmcascade.comparison.build.segmentation.images import annotated_images
from mmcascade.comparison.build.segmentation.request import SegBuildRequest
from mmcascade.comparison.build.segmentation.views import SegView, shared_view
from mmcascade.comparison.build.words import NamedMember
from mmcascade.models.cells.grid import Grid
from mmcascade.models.members.members import Member
from mmcascade.models.parts.segmentor_parts import segmentor_from_spec


@dataclass(frozen=True)
class SegMaterial:
    """What a cascade of segmentors is built from.

    Attributes:
        named: the members by name, cheap first.
        scales: of each on the view.
        view: of all of them.
        data: config of the data set without its pipeline.
        grid: of the cells.
        loading: how images are read and divided.
        image: height and width of the first one.
    """

    named: Mapping[str, NamedMember]
    scales: Mapping[str, float]
    view: SegView
    data: Mapping[str, Any]
    grid: Mapping[str, int]
    loading: Loading
    image: tuple[int, int]

    @classmethod
    def of(cls, request: SegBuildRequest) -> SegMaterial:
        """Build the members, look at the images, and put the members in the order of their multiply-adds.

        Raises:
            ValueError, OSError: saying what to put right.
        """
        named, members = request.built_members(segmentor_from_spec)
        classes, palette = _classes(list(members.values()))
        named = [member if members[member.name].classes else replace(member, classes=classes) for member in named]
        if (asked := request.calibration.wanted.class_name) is not None:
            class_number(asked, classes)
        view, scales = shared_view(named)
        data = annotated_images(request.data, classes, palette, view.reduce_zero_label)
        grid = dict(cell=request.cell or 512, margin=request.margin)
        config = seg_config(named, scales, view, data, grid, request.loading)
        macs, image = first_image(config, members)
        if request.cell is not None and request.cell > 2 * max(image):
            raise ValueError(
                f'cells of {request.cell} px are far larger than the first image, {image[0]} x {image[1]} px; give '
                '--cell a side of which an image has several, or leave it out'
            )
        grid['cell'] = request.cell or fitting_cell(image)
        ordered = {member.name: member for member in sorted(named, key=lambda member: macs[member.name])}
        return cls(ordered, scales, view, data, grid, request.loading, image)

    @property
    def cells(self) -> int:
        """How many the first image has."""
        return len(Grid(self.image, (self.grid['cell'], self.grid['cell'])))

    def config(self, order: Sequence[str]) -> Config:
        """The config of a cascade of some members."""
        members = [self.named[name] for name in order]
        return seg_config(members, self.scales, self.view, self.data, self.grid, self.loading)


def on_whole_images(config: Config) -> Config:
    """The config of a cascade with every stage on whole images: what an ensemble does."""
    changed = copy.deepcopy(config)
    changed.model.grid = dict(cell=None, margin=0)
    changed.model.stages = [dict(stage, on='image') for stage in changed.model.stages]
    return changed


def alone(config: Config) -> dict[str, Config]:
    """Each later member of a cascade as the only one, on whole images."""
    found = {}
    for stage in on_whole_images(config).model.stages[1:]:
        changed = on_whole_images(config)
        changed.model.stages = [stage]
        changed.model.members = {stage.member: changed.model.members[stage.member]}
        found[stage.member] = changed
    return found


def _classes(members: Sequence[Member]) -> tuple[tuple[str, ...], Sequence[Sequence[int]] | None]:
    number = next((member.num_classes for member in members if member.num_classes), 0)
    classes = next((member.classes for member in members if member.classes), tuple(map(str, range(number))))
    return classes, next((member.palette for member in members if member.palette), None)
