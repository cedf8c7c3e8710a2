# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Stored scores of members of a given skill, without members."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmcascade.calibration.stores.data_identity import DataIdentity
from mmcascade.calibration.stores.header import ScoreHeader
from mmcascade.calibration.stores.identity import StageIdentity
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.calibration.stores.store_identity import StoreIdentity
from mmcascade.routing import StageOutput


def skilled_logits(
    units: int, classes: int = 5, skills: Sequence[float] = (1.0, 1.3, 1.6, 2.0), seed: int = 0
) -> tuple[list[np.ndarray], np.ndarray]:
    """Per skill float32 logits ``(units, classes)``, and labels. Members share what makes a unit hard."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=units)
    ease, common = rng.uniform(0, 2, (units, 1)), rng.standard_normal((units, classes))
    truth = np.eye(classes)[labels]
    return [
        (2 * skill * ease * truth + common + rng.standard_normal((units, classes))).astype(np.float32)
        for skill in skills
    ], labels


def stored_identity(names: Sequence[str], units: int, **cascade: str) -> StoreIdentity:
    """Whose outputs a synthetic store holds."""
    stages = tuple(StageIdentity(name, 0, f'w{name}') for name in names)
    return StoreIdentity(stages, 'float32', DataIdentity(units, 'd'), 'p', **cascade)


def with_fallbacks(identity: StoreIdentity, fallbacks: Iterable[int]) -> StoreIdentity:
    """The same, of stages some of which run on the whole image where their crops would cost as much."""
    stages = list(identity.stages)
    for stage in fallbacks:
        stages[stage] = replace(stages[stage], fallback='images')
    return replace(identity, stages=tuple(stages))


def score_header(
    units: int, classes: int, kinds: Sequence[str], names: Sequence[str] | None = None, **more: Any
) -> ScoreHeader:
    """The header of a store of scores."""
    names = names or [f'm{k}' for k in range(len(kinds))]
    return ScoreHeader(identity=stored_identity(names, units), units=units, classes=classes, kinds=kinds, **more)


def make_store(
    folder: Path,
    logits: Sequence[np.ndarray],
    labels: np.ndarray,
    names: Sequence[str] | None = None,
    macs: Sequence[float] | None = None,
    config: str | None = None,
) -> ScoreStore:
    """A complete store of these logits."""
    names = names or [f's{k}' for k in range(len(logits))]
    macs = macs or [10.0 * 2**k for k in range(len(logits))]
    header = score_header(len(labels), logits[0].shape[1], ['logits'] * len(logits), names, config=config)
    store = ScoreStore.create(folder, header)
    store.write(
        [StageOutput(logits=torch.from_numpy(rows), macs=cost) for rows, cost in zip(logits, macs, strict=True)], labels
    )
    return store
