# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a stage is given, to be run alone."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import cycle

import numpy as np

from mmcascade.models.runtimes.batch_sizes import Inputs
from mmcascade.models.stages.stage import MemberStage
from mmcascade.routing.units.sources import Source
from mmcascade.routing.units.unit_batch import UnitBatch
from mmcascade.routing.units.waiting_units import WaitingUnits

#: Of what is made ready for one stage: what exits leave behind may be many times an image.
_MOST_BYTES = 2**29


def inputs_seen(stage: MemberStage, sources: Sequence[Source], count: int) -> list[Inputs]:
    """What a stage sees of sources of one kind in full batches, about so many images or crops, one batch at least."""
    size = stage.batch_size or 1
    queue, waiting = WaitingUnits(stage.by_source), 0
    for source in cycle(sources):
        if waiting >= max(size, count // size * size):
            break
        # A copy, as an image that comes again is another one.
        queue.put(UnitBatch.submitted(copy.copy(source), np.arange(len(source)), 0))
        waiting += 1 if stage.by_source else len(source)
    batches = list(queue.batches(size, flush=False))
    found: list[Inputs] = []
    for batch in batches[: max(1, count // size)]:
        found.append(stage.inputs_of(batch))
        if sum(x.nbytes for x in found) > _MOST_BYTES:
            break
    return found


def run_bare(stage: MemberStage, inputs: Sequence[Inputs]) -> None:
    """Run a stage on what it is given, and nothing else."""
    for rows in inputs:
        stage.forward(rows)
