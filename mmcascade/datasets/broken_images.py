# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Images that cannot be read, by name."""

from __future__ import annotations

from typing import Any

from mmcascade.datasets.inner import inner_datasets


class PipelineError(ValueError):
    """An image that the pipeline of its data set cannot take."""


class NamingPipeline:
    """A pipeline that says of which image it could not make anything."""

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline

    def __call__(self, data: Any) -> Any:
        """As the pipeline does.

        Raises:
            PipelineError: whatever it raises.
        """
        try:
            return self.pipeline(data)
        except Exception as error:  # of any transform and any reader of images
            path = (data.get('img_path') or data.get('filename')) if isinstance(data, dict) else None
            if path is None:
                raise
            reason = str(error) or type(error).__name__
            reason = reason if str(path) not in reason else type(error).__name__
            raise PipelineError(f'{path} cannot be read and prepared: {reason}') from error

    def __getattr__(self, name: str) -> Any:
        if name == 'pipeline':  # not there yet, while it is unpickled
            raise AttributeError(name)
        return getattr(self.pipeline, name)


def name_broken_images(dataset: Any) -> None:
    """Make a built data set say which image it cannot read, in place; also below wrappers and joins."""
    for part in inner_datasets(dataset):
        if callable(getattr(part, 'pipeline', None)) and not isinstance(part.pipeline, NamingPipeline):
            part.pipeline = NamingPipeline(part.pipeline)
