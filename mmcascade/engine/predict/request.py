# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What is asked of a prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PredictRequest:
    """What is asked for.

    Attributes:
        inputs: images, as :func:`~mmcascade.engine.predict.inputs.items` reads them.
        out: file to write: .csv, .jsonl or .parquet.
        top: how many of the most probable classes are told.
        rejected_to: folder that gets a link to each image that is not accepted.
        batch_size: images at a time; None = as many as the cascade takes well.
        stage_scores: tell the running decision after each stage.
        maps_to: folder that gets a label map of each image.
    """

    inputs: tuple[str, ...]
    out: Path
    top: int = 0
    rejected_to: Path | None = None
    batch_size: int | None = None
    stage_scores: bool = False
    maps_to: Path | None = None

    @property
    def about_rows(self) -> Mapping[str, object]:
        """What a row, and the files that are written with it, depend on."""
        told = {'stage_scores': True} if self.stage_scores else {}
        folders = {'maps_to': self.maps_to, 'rejected_to': self.rejected_to}
        return {'top': self.top, **told, **{name: str(path) for name, path in folders.items() if path is not None}}
