# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""From the path of a cascade to what decides as it says."""

from __future__ import annotations

from pathlib import Path

from mmcascade.engine.predict.decider import BUNDLE, BundleDecider, Decider

#: The config in a folder that ``mmcascade build`` made.
CONFIG = 'cascade.py'


def open_decider(cascade: str | Path) -> Decider:
    """What decides as a cascade says.

    Args:
        cascade: folder of a bundle or of ``mmcascade build``, or the config of a calibrated cascade.

    Raises:
        ValueError, OSError: if it is none of these.
    """
    path = Path(cascade).expanduser()
    if (path / BUNDLE).is_file():
        return BundleDecider(path)
    if path.is_dir():
        if not (path / CONFIG).is_file():
            raise ValueError(
                f'{path} is no cascade: it holds neither {CONFIG} (of a build) nor {BUNDLE} (of an export)'
            )
        path = path / CONFIG
    from mmcascade.engine.predict.model_decider import ModelDecider  # with torch, which a bundle does without

    return ModelDecider.of_config(path)
