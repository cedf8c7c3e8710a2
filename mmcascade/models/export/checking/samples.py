# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The images that a bundle takes along, with what it decides about them, so that it can be checked anywhere."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmcascade.runtime.description.samples import DECISIONS, SAMPLES

#: How far probabilities of the bundle may be from those of torch.
TOLERANCE = 1e-4
#: Samples that are copied into a bundle, and how large each may be, in bytes.
SAMPLE_COUNT, SAMPLE_BYTES = 8, 1 << 20
#: How far from every bound the scores of a sample are, so that other processors decide alike.
SAMPLE_MARGIN = 1e-3


def fit_for_sample(file: Path, margin: float) -> bool:
    """Whether an image is small enough, and decided clearly enough, to be a sample."""
    return margin > SAMPLE_MARGIN and file.stat().st_size <= SAMPLE_BYTES


def write_samples(folder: Path, samples: Iterable[tuple[Path, Mapping[str, Any]]]) -> None:
    """Copy images into a bundle, with what is promised of each.

    Args:
        folder: of the bundle.
        samples: files, and their decisions as data.
    """
    (folder / SAMPLES).mkdir()
    entries = []
    for index, (file, promised) in enumerate(samples):
        name = f'{index}{file.suffix.lower()}'
        shutil.copyfile(file, folder / SAMPLES / name)
        entries.append({'file': name, **promised})
    (folder / SAMPLES / DECISIONS).write_text(json.dumps(entries, indent=1))
