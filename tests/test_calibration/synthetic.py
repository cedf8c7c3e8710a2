# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Stored scores of members that know something, without any network."""

from __future__ import annotations

import numpy as np
import torch

from mmcascade.calibration.stores.identity import CascadeIdentity, StageIdentity
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.routing import CachedStage, StageOutput
from tests.support.stored.synthetic_scores import score_header

CLASSES = 4


def members(n, seed, skills=(2.0, 3.0), scales=(1.0, 1.0), macs=(1.0, 4.0)):
    """Labels and logits whose true class stands out by a random amount that the members partly share."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, n)
    ease = rng.gamma(2.0, 0.5, n)
    logits = []
    for skill, scale in zip(skills, scales, strict=True):
        z = rng.normal(size=(n, CLASSES))
        z[np.arange(n), labels] += skill * ease
        logits.append(np.float32(scale * z))
    return labels, [CachedStage(torch.from_numpy(z), macs=cost) for z, cost in zip(logits, macs, strict=True)]


def identity(stages):
    return CascadeIdentity(tuple(StageIdentity(f'm{k}', 0, '') for k in range(stages)), 'max_prob', 'prob')


def store_of(folder, labels, stages):
    """The same in a store on disk."""
    n = len(labels)
    store = ScoreStore.create(folder, score_header(n, CLASSES, ['logits'] * len(stages)))
    store.write([StageOutput(logits=stage.values, macs=stage.macs) for stage in stages], labels)
    return store
