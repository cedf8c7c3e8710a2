# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Units on their way through a router: they wait, run in batches, and come out finished."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Protocol

import numpy as np
import torch

from mmcascade.routing.exits.exit_state import trunk_of
from mmcascade.routing.fusion.stage_output import StageOutput
from mmcascade.routing.units.outcome import Outcome
from mmcascade.routing.units.sources import Source, UnitNumbers, ViewRows, Views
from mmcascade.routing.units.unit_batch import UnitBatch
from mmcascade.routing.units.waiting_units import WaitingUnits


class Stage(Protocol):
    """A member applied to a view of the input.

    Attributes:
        batch_size: runs when this many units wait, and on so many at most; None = whatever arrives.
        temperature: divides the stage's logits before anything else.
        views: indexes of the views it reads.
        by_source: runs once for all waiting units of a source, such as the cells of an image, and its batch size counts
            sources.
        trunk: the network whose exits this stage and others are; units bring what an earlier one of them left behind.
            None = the stage stands alone. A stage without this attribute does, too.
        waits_with_input: units that wait for it across batches keep its view, and not what an earlier exit left behind.
        parts: of a stage that has it, cuts a batch that left the queue into those that it is run on one by one.
    """

    # Properties, as stages may be frozen, or have some of these for the whole class.
    @property
    def batch_size(self) -> int | None: ...  # noqa: D102
    @property
    def temperature(self) -> float: ...  # noqa: D102
    @property
    def views(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def by_source(self) -> bool: ...  # noqa: D102

    def __call__(self, batch: UnitBatch) -> StageOutput:
        """Run on all units of a batch, which is never empty."""
        ...


#: Runs the stage of a number on a batch: the units that are finished, and those that go on.
RunStage = Callable[[int, UnitBatch], tuple[Outcome | None, UnitBatch | None]]


class Stream:
    """Units in flight. Each stage has a queue; leaving the context drops whatever still waits.

    Args:
        stages: of a cascade.
        run_stage: how one of them is run.
        wait_for: see below.

    Attributes:
        wait_for: how many units later stages without a batch size wait for. Stages that take whole sources wait for the
            number that was given at the start.
        running: stage and tickets of the batch that a stage is running; still there after its exception.
    """

    def __init__(self, stages: Sequence[Stage], run_stage: RunStage, wait_for: int | None = None) -> None:
        self.stages = stages
        self.run_stage = run_stage
        self.wait_for = self._wait_for_sources = wait_for
        self.running: tuple[int, np.ndarray] | None = None
        self._queues = [WaitingUnits(stage.by_source) for stage in stages]
        self._submitted = 0
        self._borrowed: set[Source] = set()  # handed in since the stages last ran

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        waiting = self.waiting
        for queue in self._queues:
            queue.clear()
        if error is None and waiting:
            raise RuntimeError(
                f'{waiting} units were still waiting for a stage when the stream was closed; '
                'call flush() at the end to get their outcome'
            )

    @property
    def waiting(self) -> int:
        """How many units wait for a stage."""
        return sum(len(batch) for queue in self._queues for batch in queue)

    @property
    def waiting_bytes(self) -> int:
        """Memory that the waiting units hold: their views and what the stages gave so far."""
        tensors = {id(x): x for queue in self._queues for batch in queue for x in batch.tensors()}
        return sum(x.nbytes for x in tensors.values())

    def enqueue(self, inputs: Views | Source, units: UnitNumbers = None) -> None:
        """Put units into the queue of stage 0 without running anything.

        Raises:
            ValueError: if a stage reads a view that is not there, or the views and units differ in number.
        """
        source = inputs if isinstance(inputs, Source) else ViewRows(inputs)
        self.check_views(source.count)
        if units is None:
            unit = np.arange(self._submitted, self._submitted + len(source))
        else:
            unit = np.asarray(units, dtype=np.int64)
        source.check_length(len(unit))
        if len(unit):
            self._queues[0].put(UnitBatch.submitted(source, unit, self._submitted))
            self._borrowed.add(source)
            self._submitted += len(unit)

    def submit(self, inputs: Views | Source, units: UnitNumbers = None) -> list[Outcome]:
        """Hand in units, and run every stage whose batch is full; what is finished comes out.

        UnitNumbers that have to wait are copied, so the inputs may be freed or reused.
        """
        self.enqueue(inputs, units)
        return self.run()

    def run(self) -> list[Outcome]:
        """Run every stage whose batch is full, after several sources were enqueued."""
        outcomes = self._run(flush=False)
        borrowed, self._borrowed = self._borrowed, set()
        for index, queue in enumerate(self._queues):
            # What a waiting unit must keep: the views that this stage or a later one reads.
            views = {view for stage in self.stages[index:] for view in stage.views}
            # The next exit of a network says what its units wait with.
            following = {trunk_of(stage): stage for stage in reversed(self.stages[index:])}
            dropped = {trunk for trunk, s in following.items() if getattr(s, 'waits_with_input', False)}
            queue.change(lambda batch, views=views, dropped=dropped: batch.own(borrowed, views, dropped))  # type: ignore[misc]
        return outcomes

    def flush(self) -> list[Outcome]:
        """Run everything that waits, in partial batches where necessary; the rest comes out."""
        return self._run(flush=True)

    @torch.no_grad()
    def _run(self, flush: bool) -> list[Outcome]:
        outcomes = []
        for index, queue in enumerate(self._queues):  # survivors only move on, so one pass is enough
            stage = self.stages[index]
            size = stage.batch_size
            if size is None and index:
                size = self._wait_for_sources if stage.by_source else self.wait_for
            # A source runs once, so it waits for those of its units that may still come.
            held = (
                ()
                if flush or not stage.by_source
                else {source for earlier in self._queues[:index] for batch in earlier for source in batch.sources}
            )
            for batch in _parts(stage, queue.batches(size, flush, held)):
                self.running = index, batch.ticket
                finished, survivors = self.run_stage(index, batch)
                self.running = None
                if finished is not None:
                    outcomes.append(finished)
                if survivors is not None:
                    self._queues[index + 1].put(survivors)
        return outcomes

    def check_views(self, count: int) -> None:
        """Raise ValueError if a stage reads a view beyond so many."""
        for index, stage in enumerate(self.stages):
            for view in stage.views:
                if not 0 <= view < count:
                    raise ValueError(
                        f'stage {index} reads view {view}, but the pipeline makes {count} view(s); add a view to '
                        "the data pipeline (mmpretrain's MultiView) or correct the stage's view="
                    )


def _parts(stage: Stage, batches: Iterable[UnitBatch]) -> Iterator[UnitBatch]:
    """What a stage is run on, of full batches."""
    cut: Callable[[UnitBatch], Iterable[UnitBatch]] | None = getattr(stage, 'parts', None)
    return iter(batches) if cut is None else (part for batch in batches for part in cut(batch))
