# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Configs of data sets, which may wrap and join others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def pipeline_owners(dataset: Any) -> list[Any]:
    """The configs of data sets with a pipeline, in a config that may wrap several; outer ones first."""
    if isinstance(dataset, (list, tuple)):
        return [owner for entry in dataset for owner in pipeline_owners(entry)]
    if not isinstance(dataset, dict):
        return []
    return [dataset] * ('pipeline' in dataset) + [
        owner for key, entry in dataset.items() if key != 'pipeline' for owner in pipeline_owners(entry)
    ]


def pipelines(dataset: Any) -> list[Any]:
    """Every pipeline in a config of a data set."""
    return [owner['pipeline'] for owner in pipeline_owners(dataset)]


def transform_names(pipeline: Any) -> list[str]:
    """The types of all transforms of a pipeline without their scopes, those inside of ``TestTimeAug`` included."""
    if isinstance(pipeline, (list, tuple)):
        return [name for entry in pipeline for name in transform_names(entry)]
    return [type_name(pipeline), *transform_names(pipeline.get('transforms', []))]


def type_name(config: Mapping[str, Any]) -> str:
    """The ``type`` of a config without its scope; it may be a name or a class."""
    kind = config.get('type')
    return (kind if isinstance(kind, str) else getattr(kind, '__name__', '')).rpartition('.')[2]
