# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What ``--tta`` does to the config of a segmentation cascade."""

from __future__ import annotations

import copy

from mmengine.config import Config, ConfigDict

from mmcascade.engine.configs.datasets import pipeline_owners, type_name

_MODELS = ('SegTTAModel', 'CascadeSegTTA')


def apply_seg_tta(cfg: Config) -> Config:
    """Turn a cascade's config into that of the cascade under test-time augmentation, in place.

    The augmentations are those of ``tta_pipeline``, which MMSegmentation's data set configs hold. Every augmented image
    is routed by itself, so images do not wait for one another: a deferred loop becomes a plain one, with the same
    decisions.

    Args:
        cfg: config of a ``CascadeSegmentor`` with a ``test_dataloader`` and a ``tta_pipeline``.

    Raises:
        ValueError: if there is no ``tta_pipeline``, or another ``tta_model`` than MMSegmentation's.
    """
    if cfg.get('tta_pipeline') is None:
        raise ValueError(
            '--tta of a segmentation cascade needs a tta_pipeline in the config, with a TestTimeAug, as the data set '
            'configs of MMSegmentation have it'
        )
    asked = dict(cfg.get('tta_model') or dict(type='SegTTAModel'))
    if set(asked) != {'type'} or type_name(asked) not in _MODELS:
        raise ValueError(
            f'tta_model of a segmentation cascade is left out, or dict(type={_MODELS[0]!r}): it averages the fused '
            f'probabilities of all augmentations. Got {asked}'
        )
    owners = pipeline_owners(cfg.test_dataloader.dataset)
    for owner in owners:
        owner['pipeline'] = copy.deepcopy(cfg.tta_pipeline)
    if cfg.get('test_cfg'):
        cfg.test_cfg = ConfigDict({key: value for key, value in cfg.test_cfg.items() if key == 'fp16'})
    cfg.model = ConfigDict(type='mmcascade.CascadeSegTTA', module=cfg.model)
    return cfg
