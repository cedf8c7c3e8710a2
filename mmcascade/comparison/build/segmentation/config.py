# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The config of a segmentation cascade that is built from members and images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

from mmcascade.comparison.build.config import CALIBRATION, Loading, split_config
from mmcascade.comparison.build.segmentation.views import SegView, pipeline_of
from mmcascade.comparison.build.words import NamedMember
from mmcascade.datasets.broken_images import name_broken_images
from mmcascade.models.cascade_segmentor import CascadeSegmentor
from mmcascade.models.cells.tiled_image import TiledImage
from mmcascade.models.members.members import Member

#: Sides of cells that are tried where none is asked for, and how many of them an image should have in each direction.
_SIDES, _LEAST = (512, 256, 128, 64), 2


def seg_config(
    members: Sequence[NamedMember],
    scales: Mapping[str, float],
    view: SegView,
    data: Mapping[str, Any],
    grid: Mapping[str, Any],
    loading: Loading,
) -> Config:
    """A config whose ``val_dataloader`` is the calibration part of the images, and ``test_dataloader`` the rest.

    Args:
        members: cheap first.
        scales: of each member on the view.
        view: of all members.
        data: config of the data set without its pipeline.
        grid: of the cells.
        loading: how its images are read and divided.
    """
    pipeline = pipeline_of(view)

    def stage(name: str) -> dict[str, Any]:
        return dict(member=name) | ({} if scales[name] == 1 else dict(scale=scales[name]))

    evaluator: list[dict[str, Any]] = [dict(type='IoUMetric', iou_metrics=['mIoU']), dict(type='mmcascade.CascadeCost')]
    return Config(
        dict(
            default_scope='mmseg',
            test_pipeline=pipeline,
            model=dict(
                type='mmcascade.CascadeSegmentor',
                members={member.name: member.spec for member in members},
                stages=[stage(member.name) for member in members],
                grid=dict(grid),
                confidence='max_prob',
                fusion='prob',
                calibration=CALIBRATION,
            ),
            **split_config(dict(data, pipeline=pipeline), evaluator, loading, batch_size=1),
        )
    )


def first_image(config: Config, members: Mapping[str, Member]) -> tuple[dict[str, float], tuple[int, int]]:
    """Multiply-adds of each member on the first whole image of the calibration part, and the size of that image.

    Args:
        config: of :func:`seg_config`.
        members: built, by the names that it has for them.

    Raises:
        ValueError: if the image cannot be read, or a member does not take it.
    """
    init_default_scope('mmseg')
    dataset = DATASETS.build(config.val_dataloader.dataset)
    name_broken_images(dataset)
    data = dataset[0]
    stages = [dict(stage, on='image') for stage in config.model.to_dict()['stages']]
    modules = {name: dict(model=member.module, classes=member.classes) for name, member in members.items()}
    model = CascadeSegmentor(modules, stages, grid=dict(cell=None))
    tile: TiledImage = model.tile(data['inputs'], data['data_samples'])
    return {stage.member: stage.counted(stage.probe(tile)) for stage in model.stages}, tile.grid.image


def fitting_cell(image: tuple[int, int]) -> int:
    """The largest usual side of which an image has two or more in each direction.

    Example:
        >>> fitting_cell((1024, 2048)), fitting_cell((375, 500)), fitting_cell((60, 80))
        (512, 128, 64)
    """
    return next((side for side in _SIDES if min(image) >= _LEAST * side), _SIDES[-1])
