# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The images that a stage sees of a split, for runtimes that take the ranges of their numbers from some."""

from __future__ import annotations

import copy

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import Runner
from torch.utils.data import Subset

from mmcascade.engine.configs.dataloaders import complete_dataloader
from mmcascade.engine.configs.runtimes import set_runtime
from mmcascade.registry import MODELS
from mmcascade.routing import UnitBatch


@torch.no_grad()
def stage_images(cfg: Config, stage: int, count: int = 128, dataloader: str = 'val_dataloader') -> np.ndarray:
    """Raw images as a stage sees them, evenly spread over a split.

    Args:
        cfg: config of a cascade; members need no weights for it.
        stage: index of the stage.
        count: at most so many images (or crops around cells, where the stage runs on cells).
        dataloader: key of the split, by default that of the calibration split.

    Returns:
        ``(N, 3, H, W)``.

    Raises:
        ValueError: without that split or stage, or if the images differ in size.
    """
    if cfg.get(dataloader) is None:
        raise ValueError(f'the config has no {dataloader} to take images from')
    stages = cfg.model.get('stages') or []
    if not 0 <= stage < len(stages):
        raise ValueError(f'there is no stage {stage}: the cascade has {len(stages)}, numbered from 0')
    cfg = copy.deepcopy(cfg)
    cfg.model.update(calibration=None, accept=None)
    cfg.model.policy = dict(type='mmcascade.WindowPolicy', windows=[(None, None)] * (len(stages) - 1))
    set_runtime(cfg, 'torch')  # the one that is asked for may be waiting for these images
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    model = MODELS.build(cfg.model)
    dataset = DATASETS.build(cfg[dataloader].dataset)
    complete_dataloader(cfg, dataloader)
    chosen = np.unique(np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int))
    loader = Runner.build_dataloader(
        dict(
            cfg[dataloader],
            dataset=Subset(dataset, chosen.tolist()),
            sampler=dict(type='DefaultSampler', shuffle=False),
            drop_last=False,
        )
    )
    found: list[np.ndarray] = []
    for batch in loader:
        for source in model.unpack(batch).sources:
            rows = np.arange(len(source))
            images = model.stages[stage].images_of(UnitBatch.submitted(source, rows, 0))
            found.append(images.cpu().numpy())
            if found[-1].shape[1:] != found[0].shape[1:]:
                sizes = [' x '.join(map(str, x.shape[2:])) for x in (found[0], found[-1])]
                raise ValueError(f'the stage sees images of several sizes ({", ".join(sizes)}); a graph takes one')
        if sum(map(len, found)) >= count:
            break
    return np.concatenate(found)[:count]
