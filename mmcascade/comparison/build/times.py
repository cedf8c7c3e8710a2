# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What members take on this machine, measured once for a build."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from mmcascade._system.files import read_json, write_json
from mmcascade._system.machine import machine
from mmcascade._system.memory import keep_freed_memory
from mmcascade.engine.benchmark.benchmark import Benchmark
from mmcascade.engine.console.progress import Say, progress_bar
from mmcascade.evaluation.standings.cost_unit import MILLISECONDS
from mmcascade.models.runtimes.batch_sizes import SIZES
from mmcascade.routing.checks import is_number

SCHEMA = 1
REPEATS = 5


@dataclass(frozen=True)
class Effort:
    """What stages are timed on.

    Attributes:
        images: how many are run.
        batch_size: the largest that is tried, of images, or of cells for stages on cells.
    """

    images: int = 32
    batch_size: int = 1


def measured_times(config: Config, names: Sequence[str], path: Path, effort: Effort, say: Say = print) -> list[float]:
    """Milliseconds per image (or cell, of stages on cells) of each stage of a config, alone and at its best batch size.

    The best of several rounds counts, since whatever else the machine does only adds to it. They are measured once and
    kept: what an earlier run measured of the same stages is read.

    Args:
        config: of a cascade without a calibration.
        names: of its stages, no name twice; what the file calls them.
        path: of the file.
        effort: what they are timed on.
        say: prints one line of progress.
    """
    known = _read(path)
    missing = [index for index, name in enumerate(names) if name not in known]
    if missing:
        plain = copy.deepcopy(config)
        plain.model.pop('calibration', None)
        plain.model.policy = dict(type='mmcascade.WindowPolicy', windows=[(None, None)] * (len(plain.model.stages) - 1))
        keep_freed_memory()
        with progress_bar('timing members') as progress:
            sizes = [size for size in SIZES if size <= max(1, effort.batch_size)]
            times = Benchmark(plain, effort.images, sizes=sizes).measure_stages(REPEATS, progress, missing)
        load, processors = os.getloadavg()[0], os.cpu_count() or 1
        if load > 1.5 * processors and not known:  # a build that measures in two parts says it once
            say(f'the machine is busy (load {load:.1f}), so these times are rough; delete {path} to measure again')
        known |= {names[index]: spread['lowest'] for index, spread in zip(missing, times, strict=True)}
        path.parent.mkdir(parents=True, exist_ok=True)
        written = {'schema': SCHEMA, 'unit': MILLISECONDS.name, 'machine': machine(), 'stages': known}
        write_json(path, written)
    return [known[name] for name in names]


def _read(path: Path) -> dict[str, float]:
    if not path.is_file():
        return {}
    try:
        found = read_json(path)['stages']
        if all(is_number(value) and value > 0 for value in found.values()):
            return dict(found)
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    raise ValueError(f'{path} does not hold the times of an earlier build; delete it, and they are measured again')
