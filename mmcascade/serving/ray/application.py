# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The application as Ray's own tools import it: the ``import_path`` of a Serve config, with its ``args``."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from mmcascade.runtime import Engine
from mmcascade.runtime.description.manifest import Manifest
from mmcascade.serving.ray.deployment import RaySettings, deployment
from mmcascade.serving.ray.members import check_members, read_members
from mmcascade.serving.settings import ServeSettings


def application(args: dict[str, Any]) -> Any:
    """Build the application.

    Args:
        args: ``bundles``, a dict from names to folders; ``members``, a list of words as ``--members`` takes them, of
            those that run in deployments of their own; and any of
            :class:`~mmcascade.serving.settings.ServeSettings`. How the cascade is spread stands in the Serve config
            itself.

    Raises:
        ValueError: on anything else.
        BundleError: if there are members, and a bundle cannot be read.
    """
    options = dict(args)
    bundles, words = options.pop('bundles', None), options.pop('members', [])
    known = {field.name for field in fields(ServeSettings)}
    if not isinstance(bundles, dict) or not bundles or not isinstance(words, list) or set(options) - known:
        raise ValueError(
            'args are bundles, a dict from names to folders, members, a list of NAME=CPUS[:GPUS], and any of '
            f'{sorted(known)}, got {args!r}'
        )
    folders = {str(name): Path(folder) for name, folder in bundles.items()}
    members = read_members(words)
    if members:
        check_members(members, [Manifest.load(folder) for folder in folders.values()])
    return deployment(folders, ServeSettings(**options), Engine(), RaySettings(members=members))
