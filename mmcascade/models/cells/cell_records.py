# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The cells of a predicted image as plain values."""

from __future__ import annotations

import math
from typing import Any

from mmseg.structures import SegDataSample


def cells_as_json(sample: SegDataSample) -> list[dict[str, Any]]:
    """What was decided on each cell of an image, for JSON.

    Args:
        sample: predicted by a cascade of segmentors.

    Returns:
        Per cell ``bbox`` (x1, y1, x2, y2, the ends excluded), ``confidence`` (None where nothing counts or is finite),
        ``exit_stage`` and ``macs``; and ``accepted`` where cells have an accept threshold.
    """
    cells = sample.cells
    accepted = [dict(accepted=one) for one in cells.accepted.tolist()] if 'accepted' in cells else [{}] * len(cells)
    columns = (cells.bboxes.tolist(), cells.confidence.tolist(), cells.exit_stages.tolist(), cells.macs.tolist())
    return [
        dict(bbox=bbox, confidence=score if math.isfinite(score) else None, exit_stage=exit_stage, macs=macs) | more
        for bbox, score, exit_stage, macs, more in zip(*columns, accepted, strict=True)
    ]
