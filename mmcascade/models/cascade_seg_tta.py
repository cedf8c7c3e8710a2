# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Test-time augmentation of a segmentation cascade."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseTTAModel
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from torch import nn

from mmcascade.models.cascade_segmentor import CascadeSegmentor
from mmcascade.registry import MODELS


@MODELS.register_module()
class CascadeSegTTA(BaseTTAModel):
    """Averages a cascade's fused probabilities over augmented images, as MMSegmentation's ``SegTTAModel`` does.

    Every augmented image is routed by itself, as the cascade is. Labels are those of the mean; ``macs`` and
    ``nonfinite_cells`` are sums, ``mean_exit_stage``, ``reached``, ``confidence_map`` and the cells' ``confidence`` are
    means over the augmentations, and a cell's ``exit_stages`` is the last stage that it ran in any of them.

    Args:
        module: a :class:`CascadeSegmentor` with ``seg_logits=True``, or its config, to which that is added.
        data_preprocessor: ignored, as by the cascade.

    Raises:
        ValueError: if the module is no such cascade.
    """

    def __init__(self, module: Mapping[str, Any] | nn.Module, data_preprocessor: Any = None) -> None:
        del data_preprocessor
        super().__init__(module if isinstance(module, nn.Module) else dict(module, seg_logits=True))
        if not isinstance(self.module, CascadeSegmentor) or not self.module.keeps_logits:
            raise ValueError(
                f'test-time augmentation averages the maps of a CascadeSegmentor with seg_logits=True, got a '
                f'{type(self.module).__name__}; give the config of the cascade as module='
            )

    def merge_preds(self, data_samples_list: Sequence[Sequence[SegDataSample]]) -> list[SegDataSample]:
        """One data sample for the augmentations of each image."""
        return [_merged(samples) for samples in data_samples_list]


def _merged(samples: Sequence[SegDataSample]) -> SegDataSample:
    first = samples[0]
    merged = SegDataSample(metainfo=dict(first.metainfo))
    if 'gt_sem_seg' in first:
        merged.set_data({'gt_sem_seg': first.gt_sem_seg})
    # seg_logits are log-probabilities: their softmax is what was fused.
    probs = sum(sample.seg_logits.data.softmax(0) for sample in samples) / len(samples)
    merged.set_data({'pred_sem_seg': PixelData(data=probs.argmax(0, keepdim=True))})
    if 'confidence_map' in first:
        maps = torch.stack([sample.confidence_map.data for sample in samples])
        merged.set_data({'confidence_map': PixelData(data=maps.mean(0))})

    def mean(name: str) -> float:
        return sum(sample.get(name) for sample in samples) / len(samples)

    merged.set_field(sum(sample.macs for sample in samples), 'macs')
    merged.set_field(sum(sample.nonfinite_cells for sample in samples), 'nonfinite_cells')
    merged.set_field(mean('mean_exit_stage'), 'mean_exit_stage')
    shares = zip(*(sample.reached for sample in samples), strict=True)
    merged.set_field([sum(share) / len(samples) for share in shares], 'reached')
    cells = [sample.cells for sample in samples]
    merged.set_data(
        {
            'cells': InstanceData(
                bboxes=cells[0].bboxes,
                confidence=torch.stack([cell.confidence for cell in cells]).mean(0),
                exit_stages=torch.stack([cell.exit_stages for cell in cells]).amax(0),
                macs=torch.stack([cell.macs for cell in cells]).sum(0),
            )
        }
    )
    return merged
