# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Samples of a test loop over in-distribution and OOD sets, as a cascade returns them."""

from __future__ import annotations

import numpy as np
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import BaseDataElement


def sample(index, confidence, label=0, predicted=0, dataset='id', **extra):
    made = BaseDataElement(metainfo=dict(img_path=f'{dataset}/{index}.jpg'))
    made.confidence = float(confidence)
    made.pred_label = torch.tensor([predicted])
    made.gt_label = torch.tensor([label])
    if dataset != 'id':
        made.gt_label = torch.tensor([-1])
        made.set_field(True, 'ood')
        made.set_field(dataset, 'dataset')
    for name, value in extra.items():
        made.set_field(value, name)
    return made


def make_samples(sizes, seed=0, levels=None, **extra):
    """Samples of each set in ``sizes``; with ``levels``, scores tie on so many levels."""
    rng = np.random.default_rng(seed)
    samples = []
    for dataset, size in sizes.items():
        score = rng.beta(4, 2, size) if dataset == 'id' else rng.beta(2, 3, size)
        if levels:
            score = np.floor(score * levels) / levels
        for i in range(size):
            made = sample(i, score[i], int(rng.integers(3)), int(rng.integers(3)), dataset)
            for name, value in extra.items():
                made.set_field(value(made), name)
            samples.append(made)
    return samples


def arrays(samples, *datasets):
    """(confidence, wrong, ood) of the ID samples and those of the named sets."""
    kept = [s for s in samples if not s.get('ood', False) or s.dataset in datasets]
    return (
        np.array([s.confidence for s in kept]),
        np.array([bool(s.pred_label != s.gt_label) for s in kept]),
        np.array([bool(s.get('ood', False)) for s in kept]),
    )


def evaluate(config, samples):
    evaluator = Evaluator(config)
    evaluator.process(samples[:7])
    evaluator.process(samples[7:])
    return evaluator.evaluate(len(samples))
