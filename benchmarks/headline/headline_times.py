# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Measured time of a cascade of headline.py, beside its members and their ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from headline_systems import Pool, Setting
from mmengine.config import Config

from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.two_sided.windows import fit_windows
from mmcascade.engine.benchmark.benchmark import Benchmark

#: What is timed beside each member alone, and its name in a row.
SYSTEMS = {'ensemble': 'ensemble', 'cascade, plain': 'plain', 'cascade, deferred': 'deferred'}


@dataclass(frozen=True)
class Timing:
    """How long is measured.

    Attributes:
        images: in memory, as a pipeline leaves them; 0 measures nothing.
        repeats: rounds, in each of which every system runs once.
        sizes: batch sizes, of which each member takes its best.
    """

    images: int = 256
    repeats: int = 5
    sizes: Sequence[int] = (4, 16, 64)


def times_of(config: str, pool: Pool, setting: Setting, timing: Timing) -> dict[str, Any]:
    """Milliseconds an image ``[median, lowest, highest]`` of members, their ensemble and both loops of the cascade."""
    benchmark = Benchmark(_config(config, pool, setting), timing.images, sizes=timing.sizes)
    result = benchmark.measure(timing.repeats, single_images=1)
    found = {}
    for system in result.systems:
        speed = system.units_per_s
        own = [1e3 / speed[key] for key in ('median', 'highest', 'lowest')]
        found[system.name] = [float(f'{ms:.4g}') for ms in own]
    members = [found[name] for name in found if name not in SYSTEMS]
    return dict(
        members=members,
        **{key: found[name] for name, key in SYSTEMS.items()},
        images=result.images,
        repeats=timing.repeats,
        load=max(result.machine['load_before'], result.machine['load_after']),
    )


def _config(path: str, pool: Pool, setting: Setting) -> Config:
    """The chain with windows placed on the stored calibration scores as they are (T = 1)."""
    known = np.arange(pool.known)
    seen = pool.evidence(pool.scaled(known, 'none')).only(known)
    windows = fit_windows(seen.exits, seen.units, CalibrationRequest(setting.target)).windows
    cfg = Config.fromfile(path)
    plain = {stage.member: stage for stage in reversed(cfg.model.stages) if not stage.get('flip')}
    cfg.model.members = {member: cfg.model.members[member] for member in pool.chain}
    cfg.model.update(
        stages=[plain[member] for member in pool.chain],
        fusion='prob',
        policy=dict(type='mmcascade.WindowPolicy', windows=windows),
    )
    return cfg
