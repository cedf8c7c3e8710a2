# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""From a cascade's config to the feature bank of its detector."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

from mmcascade._system.progress import Progress, no_progress
from mmcascade.calibration.detectors import FeatureBank
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.datasets.unit_keys import unit_keys
from mmcascade.engine.runs.prepare_store import of_kind, prepare_store


def fit_bank(
    cfg: Config,
    dataloader: str,
    folder: str | Path,
    images: int | None = None,
    seed: int = 0,
    *,
    amp: bool = False,
    progress: Progress = no_progress,
) -> FeatureBank:
    """Run the members of a cascade over in-distribution images and keep their features.

    Args:
        cfg: config of the cascade; its confidence, policy and calibration are not read.
        dataloader: its key for the images, such as 'detector_dataloader'.
        folder: place of the score store that is filled on the way.
        images, seed: see :meth:`~mmcascade.calibration.detectors.FeatureBank.of`.
        amp, progress: see :func:`~mmcascade.engine.runs.prepare_store.prepare_store`.

    Raises:
        ValueError: if the config has no such key, a member gives no features, or the images are those of the
            calibration or test split.
    """
    if cfg.get(dataloader) is None:
        raise ValueError(
            f'the config has no {dataloader!r}; give it a data loader of in-distribution images, such as '
            'a part of the training set under the test pipeline'
        )
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    _check_apart(cfg, dataloader)
    own = copy.deepcopy(cfg)
    own.model.confidence = dict(type='mmcascade.KNNConfidence', bank=None)
    store, _ = of_kind(ScoreStore, prepare_store(own, folder, dataloader, amp=amp, progress=progress))
    return FeatureBank.of(store, images, seed)


def _check_apart(cfg: Config, dataloader: str) -> None:
    """An image is its own nearest neighbour, so thresholds must be placed and tested on others."""
    mine = set(unit_keys(DATASETS.build(copy.deepcopy(cfg[dataloader].dataset))))
    for split in ('val_dataloader', 'test_dataloader'):
        if cfg.get(split) is None:
            continue
        try:
            others = unit_keys(DATASETS.build(copy.deepcopy(cfg[split].dataset)))
        except Exception as error:  # whatever the user's data set raises where its files are not at hand
            warnings.warn(
                f'{split} cannot be read here ({error}), so whether it shares images with {dataloader} was not checked',
                stacklevel=3,
            )
            continue
        shared = sum(key in mine for key in others)
        if shared:
            raise ValueError(
                f'{shared} of the {len(others)} images of {split} are also in {dataloader}; a detector '
                'would recognise them, so take them out of one of the two'
            )
