# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The application as Ray's own tools import it: the ``import_path`` of a Serve config, with its ``args``."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from mmcascade.runtime import Engine
from mmcascade.serving.ray.deployment import RaySettings, deployment
from mmcascade.serving.settings import ServeSettings


def application(args: dict[str, Any]) -> Any:
    """Build the application.

    Args:
        args: ``bundles``, a dict from names to folders, and any of :class:`~mmcascade.serving.settings.ServeSettings`.
            How it is spread stands in the Serve config itself.

    Raises:
        ValueError: on anything else.
    """
    options = dict(args)
    bundles = options.pop('bundles', None)
    known = {field.name for field in fields(ServeSettings)}
    if not isinstance(bundles, dict) or not bundles or set(options) - known:
        raise ValueError(f'args are bundles, a dict from names to folders, and any of {sorted(known)}, got {args!r}')
    folders = {str(name): Path(folder) for name, folder in bundles.items()}
    return deployment(folders, ServeSettings(**options), Engine(), RaySettings()).bind()
