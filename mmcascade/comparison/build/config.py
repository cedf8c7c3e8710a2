# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The config of a cascade that is built from members and images."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

from mmcascade.comparison.build.views import MemberView, pipeline_for, shared_views
from mmcascade.comparison.build.words import NamedMember
from mmcascade.datasets.broken_images import name_broken_images
from mmcascade.engine.configs.dataloaders import ordered_loader
from mmcascade.models.cascade_classifier import WindowCascadeClassifier
from mmcascade.models.members.members import Member
from mmcascade.models.stages.stage import MemberStage
from mmcascade.models.stages.views.batch_views import as_views
from mmcascade.routing import UnitBatch

#: Where a config finds the calibration that was fitted for it.
CALIBRATION = '{{ fileDirname }}/calibration.json'


@dataclass(frozen=True)
class Loading:
    """How images are read and divided.

    Attributes:
        batch_size: images at a time.
        workers: processes that read them; 0 = this one.
        fraction: share of the images that is calibrated on; the rest is reported on.
        seed: of that draw.
    """

    batch_size: int = 32
    workers: int = 0
    fraction: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.fraction < 1:
            raise ValueError(
                f'--fraction is the share of the images that is calibrated on, between 0 and 1, got {self.fraction:g}; '
                'half of them is written 0.5'
            )
        if self.workers < 0:
            raise ValueError(f'--workers is a number of processes from 0, got {self.workers}')


@dataclass(frozen=True)
class PlacedMember:
    """A stage to be: a member and what it sees.

    Attributes:
        member: the member.
        view: its own, or that of another one.
    """

    member: NamedMember
    view: MemberView


def cascade_config(stages: Sequence[PlacedMember], data: Mapping[str, Any], loading: Loading) -> Config:
    """A config whose ``val_dataloader`` is the calibration part of the images, and ``test_dataloader`` the rest.

    It holds the members and makes the views that its stages need, and no others.

    Args:
        stages: in order.
        data: config of the data set without its pipeline.
        loading: how its images are read and divided.
    """
    numbers, distinct = shared_views([stage.view for stage in stages])
    evaluator: list[dict[str, Any]] = [
        dict(type='Accuracy', topk=(1,)),
        dict(type='mmcascade.SelectiveRisk'),
        dict(type='mmcascade.CascadeCost'),
    ]
    return Config(
        dict(
            default_scope='mmpretrain',
            model=dict(
                type='mmcascade.WindowCascadeClassifier',
                members={stage.member.name: stage.member.spec for stage in stages},
                stages=[dict(member=s.member.name, view=view) for s, view in zip(stages, numbers, strict=True)],
                confidence='max_prob',
                fusion='prob',
                calibration=CALIBRATION,
            ),
            **split_config(dict(data, pipeline=pipeline_for(distinct)), evaluator, loading, loading.batch_size),
        )
    )


def split_config(
    data: Mapping[str, Any], evaluator: Sequence[Mapping[str, Any]], loading: Loading, batch_size: int
) -> dict[str, Any]:
    """What a config says of its two parts: ``val_dataloader`` is the calibration part of the images, the test the rest.

    Args:
        data: config of the data set.
        evaluator: configs of the metrics of both.
        loading: how images are divided.
        batch_size: images at a time.
    """
    split = dict(
        type='mmcascade.CalibrationSplit',
        fraction=loading.fraction,
        seed=loading.seed,
        rare='together',
        dataset=dict(data),
    )

    def loader(part: str) -> dict[str, Any]:
        return dict(
            batch_size=batch_size,
            num_workers=loading.workers,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dict(split, part=part),
        )

    return dict(
        val_dataloader=loader('calibration'),
        val_cfg=dict(),
        val_evaluator=list(evaluator),
        test_dataloader=loader('rest'),
        test_cfg=dict(),
        test_evaluator=list(evaluator),
    )


def counted_macs(config: Config, members: Mapping[str, Member], may_fail: Collection[int] = ()) -> list[float | None]:
    """Multiply-adds per image of each stage, on the first image of the calibration part.

    Args:
        config: of :func:`cascade_config`.
        members: built, by the names that it has for them.
        may_fail: stages whose member need not take its view; those that do not are None.

    Raises:
        ValueError: if an image cannot be read, or another member does not take its view.
    """
    init_default_scope('mmpretrain')
    dataset = DATASETS.build(config.val_dataloader.dataset)
    name_broken_images(dataset)
    first = torch.utils.data.Subset(dataset, [0])
    batch = next(iter(ordered_loader(config.val_dataloader | dict(num_workers=0, batch_size=1), first)))
    views = as_views(batch['inputs'])
    stages = config.model.to_dict()['stages']
    used = {stage['member'] for stage in stages}
    model = WindowCascadeClassifier({name: member.module for name, member in members.items() if name in used}, stages)
    images = UnitBatch.submitted(views, np.arange(1), 0)
    return [_macs_of(stage, images, index in may_fail) for index, stage in enumerate(model.stages)]


def _macs_of(stage: MemberStage, images: UnitBatch, may_fail: bool) -> float | None:
    try:
        return stage.macs_of(stage.images_of(images))
    except Exception:  # whatever a network raises on images of another size
        if may_fail:
            return None
        raise
