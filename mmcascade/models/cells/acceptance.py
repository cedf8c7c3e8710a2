# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What is accepted of a segmented image."""

from __future__ import annotations

import numpy as np
from mmseg.structures import SegDataSample
from numpy.typing import NDArray

from mmcascade.routing.confidences.image_confidence import image_confidences


def write_acceptance(
    sample: SegDataSample, areas: NDArray[np.int64], accept: float | None, accept_cells: float | None
) -> None:
    """Write the confidence of an image, and what is accepted of it and of its cells, beside its cells.

    Args:
        sample: an image with its ``cells``, of which ``confidence`` is read.
        areas: of the cells.
        accept: accept the image if its confidence is at least this; None = nobody says.
        accept_cells: the same of cells.
    """
    scores = sample.cells.confidence.double()
    if accept_cells is not None:
        sample.cells.accepted = scores >= accept_cells
    (confidence,) = image_confidences(scores.numpy(), areas, np.zeros(len(areas), np.int64), 1).tolist()
    sample.set_field(confidence, 'confidence')
    if accept is not None:
        sample.set_field(confidence >= accept, 'accepted')
