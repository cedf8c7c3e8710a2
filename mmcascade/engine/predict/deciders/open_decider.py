# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""From the path of a cascade to what decides as it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmcascade.engine.console.configs import CONFIG, config_in, read_config
from mmcascade.engine.predict.deciders.decider import BUNDLE, BundleDecider, Decider
from mmcascade.engine.predict.deciders.seg_bundle_decider import SegBundleDecider
from mmcascade.runtime.description.manifest import Manifest


def open_decider(cascade: str | Path) -> Decider[Any]:
    """What decides as a cascade says.

    Args:
        cascade: folder of a bundle or of ``mmcascade build``, or the config of a calibrated cascade.

    Raises:
        ValueError, OSError: if it is none of these.
    """
    path = Path(cascade).expanduser()
    if (path / BUNDLE).is_file():
        segments = Manifest.load(path).task == 'segmentation'
        return SegBundleDecider(path) if segments else BundleDecider(path)
    path = config_in(path)
    if path.is_dir():
        raise ValueError(f'{path} is no cascade: it holds neither {CONFIG} (of a build) nor {BUNDLE} (of an export)')
    from mmcascade.models.cascades import cascade_class, task_of  # with torch, which a bundle does without

    cfg = read_config(path)
    if cascade_class(cfg) is None:
        raise ValueError(f'{path} is no cascade; its model is {cfg.get("model", {}).get("type")!r}')
    # Each needs the library of its own task only.
    if task_of(cfg) == 'segmentation':
        from mmcascade.engine.predict.deciders.seg_decider import SegDecider

        return SegDecider.of_config(cfg, path)
    from mmcascade.engine.predict.deciders.model_decider import ModelDecider

    return ModelDecider.of_config(cfg, path)
