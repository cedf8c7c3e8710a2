# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Reading label and confidence maps out of the data samples that a segmentor returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mmcascade.evaluation.metrics.samples.sample_fields import required_field, sample_name


def pixel_map(sample: Mapping[str, Any], field: str, fix: str) -> Tensor:
    """A pixel map of a data sample, ``(H, W)``, on the CPU.

    Args:
        sample: a data sample as a dictionary.
        field: name of the map, such as ``pred_sem_seg``.
        fix: what the user can do about a missing map.

    Raises:
        ValueError: if the map is missing or is not one map.
    """
    data = required_field(required_field(sample, field, fix), 'data', fix)
    plane = torch.as_tensor(data).cpu()
    if plane.dim() == 3 and len(plane) == 1:
        plane = plane[0]
    if plane.dim() != 2:
        raise ValueError(f'{field!r} of {sample_name(sample)} must be one map, (1, H, W), got {tuple(plane.shape)}')
    return plane


def annotation(sample: Mapping[str, Any], prediction: Tensor) -> Tensor | None:
    """The annotation ``(H, W)`` of the image, as large as its prediction; None where an image has none.

    Raises:
        ValueError: if the sizes differ.
    """
    if sample.get('gt_sem_seg') is None:
        return None
    truth = pixel_map(sample, 'gt_sem_seg', 'annotate the image, or leave it without a map')
    check_size(sample, 'gt_sem_seg', truth, prediction)
    return truth


def check_size(sample: Mapping[str, Any], field: str, plane: Tensor, prediction: Tensor) -> None:
    """Raise ValueError unless a map is as large as the prediction."""
    if plane.shape != prediction.shape:
        raise ValueError(
            f'{field!r} of {sample_name(sample)} is {tuple(plane.shape)}, but the prediction is '
            f'{tuple(prediction.shape)}; both have the size of the original image (in a test pipeline '
            'LoadAnnotations comes after Resize)'
        )
