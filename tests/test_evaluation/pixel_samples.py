# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a segmentation cascade returns, made by hand: nested dictionaries of maps and cells."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement, InstanceData, PixelData

CLASSES = ('road', 'traffic light', 'sky', 'car')
IGNORE = 255


def pixel_data(plane):
    data = PixelData()
    data.data = torch.as_tensor(plane)[None]
    return data


def grid(height, width, cell):
    """Boxes x1, y1, x2, y2 of the cells, the last row and column possibly smaller."""
    return [
        [x, y, min(x + cell, width), min(y + cell, height)]
        for y in range(0, height, cell)
        for x in range(0, width, cell)
    ]


def make_sample(seed=0, shape=(24, 40), cell=16, annotated=True, kind=BaseDataElement, **fields):
    rng = np.random.default_rng(seed)
    boxes = torch.tensor(grid(*shape, cell))
    exits = torch.as_tensor(rng.integers(0, 2, len(boxes)))
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    reached = float(areas[exits > 0].sum() / areas.sum())

    sample = kind(metainfo=dict(img_path=f'{seed}.png', ori_shape=shape, num_stages=2))
    # float32 probabilities, many of them saturated.
    confidence = (1 - rng.random(shape) ** 12).astype(np.float32)
    prediction = rng.integers(0, len(CLASSES), shape)
    truth = np.where(rng.random(shape) < 0.2 + 0.8 * confidence**4, prediction, rng.integers(0, len(CLASSES), shape))
    truth[rng.random(shape) < 0.1] = IGNORE
    sample.pred_sem_seg = pixel_data(prediction)
    sample.confidence_map = pixel_data(confidence)
    if annotated:
        sample.gt_sem_seg = pixel_data(truth)
    values = (
        dict(
            macs=1e9 * (seed + 1),
            reached=[1.0, reached],
            mean_exit_stage=reached,
            nonfinite_cells=seed % 2,
            cells=InstanceData(
                bboxes=boxes,
                exit_stages=exits,
                confidence=torch.rand(len(boxes)),
                macs=torch.ones(len(boxes), dtype=torch.float64),
            ),
        )
        | fields
    )
    for name, value in values.items():
        sample.set_field(value, name)
    return sample


def units(samples):
    """(confidence, error) of all labelled pixels, one after the other."""
    confidence, error = [], []
    for sample in samples:
        if 'gt_sem_seg' not in sample:
            continue
        truth, prediction = (sample.get(name).data[0].numpy() for name in ('gt_sem_seg', 'pred_sem_seg'))
        known = truth != IGNORE
        confidence.append(sample.confidence_map.data[0].numpy()[known])
        error.append((truth != prediction)[known])
    return np.concatenate(confidence), np.concatenate(error)


def softmax_scores(height, width, scale, temperature, seed=0, num_classes=19):
    """Confidences by name and errors of smooth, overconfident softmax maps; the labels are drawn at a temperature."""
    generator = torch.Generator().manual_seed(seed)
    shape = height // 4, width // 4
    coarse = torch.randn(1, num_classes, height // 32, width // 32, generator=generator)
    fine = torch.randn(1, num_classes, height // 8, width // 8, generator=generator)
    logits = F.interpolate(coarse, shape, mode='bicubic') + 0.3 * F.interpolate(fine, shape, mode='bilinear')
    logits = F.interpolate(scale * logits, (height, width), mode='bilinear')[0].flatten(1).T
    log_probs = logits.log_softmax(1)
    probs = log_probs.exp()
    labels = torch.multinomial((logits / temperature).softmax(1), 1, generator=generator)[:, 0]
    best = probs.topk(2, 1).values
    scores = dict(max_prob=best[:, 0], prob_gap=best[:, 0] - best[:, 1], neg_entropy=(probs * log_probs).sum(1))
    return {name: score.numpy() for name, score in scores.items()}, (labels != probs.argmax(1)).numpy()
