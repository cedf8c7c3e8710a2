# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The one router: the only code that runs stages on selected units, and that adds up their cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mmcascade.routing.confidence import Confidence, build_confidence
from mmcascade.routing.outcome import Outcome
from mmcascade.routing.policies import ExitPolicy, going_on
from mmcascade.routing.score_maps import ScoreMap, judged_score
from mmcascade.routing.sources import Source, ViewRows, Views
from mmcascade.routing.state import FUSIONS, CascadeState, StageOutput
from mmcascade.routing.units import UnitBatch
from mmcascade.routing.waiting_units import WaitingUnits

#: What is kept of N finished units, each ``(N, ...)``: from their state, the output of the stage that ran last, and
#: their rows in it (None = all).
Results = Callable[[CascadeState, StageOutput, Tensor | None], dict[str, Tensor]]


class Stage(Protocol):
    """A member applied to a view of the input.

    Attributes:
        batch_size: runs when this many units wait, and on so many at most; None = whatever arrives.
        temperature: divides the stage's logits before anything else.
        views: indexes of the views it reads.
        by_source: runs once for all waiting units of a source, such as the cells of an image, and its batch size counts
            sources.
    """

    batch_size: int | None
    temperature: float
    views: tuple[int, ...]
    by_source: bool

    def __call__(self, batch: UnitBatch) -> StageOutput:
        """Run on all units of a batch, which is never empty."""
        ...


def keep_probs(state: CascadeState, output: StageOutput, rows: Tensor | None) -> dict[str, Tensor]:
    """The fused class probabilities, ``(N, C, ...)``, as 'probs'."""
    del output, rows
    return {'probs': state.fused.probs}


class CascadeRouter:
    """Runs stage 0 on every unit, and each later stage on those that the policy sends on.

    Args:
        stages: cheap first; any number from one.
        policy: one rule for each gap between two stages.
        confidence: name of a confidence function or an object (see :data:`~mmcascade.routing.CONFIDENCES`).
        fusion: how the outputs of the stages that ran are combined, one of 'prob', 'logit', 'replace'.
        maps: per stage, from the raw running score of units that leave there to the score that is judged, or None.
            The policy sees raw scores.
        results: what is kept of finished units, by default their fused class probabilities.

    Raises:
        ValueError: on no stage, a policy for another number of gaps, maps for another number of stages, or unknown
            names.
    """

    def __init__(self, stages: Sequence[Stage], policy: ExitPolicy,
                 confidence: str | Confidence = 'max_prob', fusion: str = 'prob',
                 maps: Sequence[ScoreMap | None] | None = None, results: Results = keep_probs) -> None:
        if not stages:
            raise ValueError('a cascade needs at least one stage, got none')
        if policy.num_gaps != len(stages) - 1:
            raise ValueError(f'{len(stages)} stages have {len(stages) - 1} gaps between them, but {policy!r} decides '
                             f'{policy.num_gaps}; give it one entry per gap')
        if fusion not in FUSIONS:
            raise ValueError(f'unknown fusion {fusion!r}; expected one of {FUSIONS}')
        if maps is not None and len(maps) != len(stages):
            raise ValueError(f'{len(stages)} stages need as many score maps, None where there is none, got '
                             f'{len(maps)}')
        self.stages = list(stages)
        self.policy = policy
        self.confidence = build_confidence(confidence)
        self.fusion = fusion
        self.maps = maps
        self.results = results
        self._member_score = self.confidence.member_score(fusion)
        self.restart()

    def stream(self, wait_for: int | None = None) -> Stream:
        """A context in which units are submitted and come out finished.

        Args:
            wait_for: later stages without a batch size of their own wait until so many units are there (or sources, if
                they take whole ones); None = they run on whatever arrives.
        """
        return Stream(self, self.policy.start_stream(), wait_for)

    def restart(self) -> None:
        """Forget what the policy learnt from the batches given to :meth:`route`, which are one stream to it."""
        self._batch_policy = self.policy.start_stream()

    def route(self, inputs: Views | Source, units: Sequence[int] | None = None) -> Outcome | None:
        """Route one batch to its end; the outcome is in the order of submission, None for an empty batch.

        Args:
            inputs: one tensor per view, ``(N, ...)``, or another source of N units.
            units: index of each unit in the data set; by default 0..N-1.
        """
        return self.route_all([(inputs, units)])

    def route_all(self, batch: Sequence[tuple[Views | Source, Sequence[int] | None]]) -> Outcome | None:
        """Route several sources with their units to their end as one batch."""
        with Stream(self, self._batch_policy) as stream:
            for inputs, units in batch:
                stream.enqueue(inputs, units)
            outcomes = stream.flush()
        if len(outcomes) < 2:
            return outcomes[0] if outcomes else None
        return Outcome.cat(outcomes).in_order()

    def run_stage(self, index: int, batch: UnitBatch, policy: ExitPolicy) -> tuple[Outcome | None, UnitBatch | None]:
        """Run one stage: the units that are finished, and those that go on to the next stage."""
        stage = self.stages[index]
        output = stage(batch)
        batch.macs = batch.macs + (output.macs.cpu().numpy() if isinstance(output.macs, Tensor) else output.macs)
        # Scores decide, and are compared with thresholds from another run: never in half precision.
        with _full_precision(output.values.device.type):
            if batch.state is None:
                batch.state = CascadeState.start(output, self.fusion, stage.temperature, self._member_score)
            else:
                batch.state = batch.state.add(output, stage.temperature, self._member_score)
            confidence = self.confidence(batch.state)
            going = self._who_goes_on(index, confidence, batch, policy)
            judged = judged_score(self.maps, index, confidence)
            if len(going) == len(batch):
                return None, batch
            leaving = np.delete(np.arange(len(batch)), going) if len(going) else None
            finished = self._finish(batch, output, judged, leaving, index)
        return finished, batch.select(going) if len(going) else None

    def _who_goes_on(self, gap: int, confidence: Tensor, batch: UnitBatch, policy: ExitPolicy) -> np.ndarray:
        if gap == len(self.stages) - 1 or policy.is_closed(gap):
            return np.zeros(0, dtype=np.int64)
        assert batch.state is not None
        return rows_where(going_on(policy, gap, confidence, batch.state.has_finite, torch.as_tensor(batch.unit),
                                   self.confidence.empty))

    def _finish(self, batch: UnitBatch, output: StageOutput, confidence: Tensor, rows: np.ndarray | None,
                stage: int) -> Outcome:
        state = batch.state
        assert state is not None
        if rows is None:
            return Outcome(batch.ticket, batch.unit, self.results(state, output, None), confidence,
                           np.full(len(batch), stage), batch.macs, state.finite)
        index = torch.as_tensor(rows).to(confidence.device)
        state = state.select(index)
        return Outcome(batch.ticket[rows], batch.unit[rows], self.results(state, output, index),
                       confidence.index_select(0, index), np.full(len(rows), stage), batch.macs[rows], state.finite)


class Stream:
    """Units in flight. Each stage has a queue; leaving the context drops whatever still waits.

    Attributes:
        wait_for: how many units later stages without a batch size wait for. Stages that take whole sources wait for the
            number that was given at the start.
        running: stage and tickets of the batch that a stage is running; still there after its exception.
    """

    def __init__(self, router: CascadeRouter, policy: ExitPolicy, wait_for: int | None = None) -> None:
        self.router = router
        self.policy = policy
        self.wait_for = self._wait_for_sources = wait_for
        self.running: tuple[int, np.ndarray] | None = None
        self._queues = [WaitingUnits(stage.by_source) for stage in router.stages]
        self._submitted = 0
        self._borrowed: set[Source] = set()  # handed in since the stages last ran

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        waiting = self.waiting
        for queue in self._queues:
            queue.clear()
        if error is None and waiting:
            raise RuntimeError(f'{waiting} units were still waiting for a stage when the stream was closed; '
                               'call flush() at the end to get their outcome')

    @property
    def waiting(self) -> int:
        """How many units wait for a stage."""
        return sum(len(batch) for queue in self._queues for batch in queue)

    @property
    def waiting_bytes(self) -> int:
        """Memory that the waiting units hold: their views and what the stages gave so far."""
        tensors = {id(x): x for queue in self._queues for batch in queue for x in batch.tensors()}
        return sum(x.nbytes for x in tensors.values())

    def enqueue(self, inputs: Views | Source, units: Sequence[int] | None = None) -> None:
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

    def submit(self, inputs: Views | Source, units: Sequence[int] | None = None) -> list[Outcome]:
        """Hand in units, and run every stage whose batch is full; what is finished comes out.

        Units that have to wait are copied, so the inputs may be freed or reused.
        """
        self.enqueue(inputs, units)
        return self.run()

    def run(self) -> list[Outcome]:
        """Run every stage whose batch is full, after several sources were enqueued."""
        outcomes = self._run(flush=False)
        borrowed, self._borrowed = self._borrowed, set()
        for index, queue in enumerate(self._queues):
            # What a waiting unit must keep: the views that this stage or a later one reads.
            views = {view for stage in self.router.stages[index:] for view in stage.views}
            queue.change(lambda batch, views=views: batch.own(borrowed, views))  # type: ignore[misc]
        return outcomes

    def flush(self) -> list[Outcome]:
        """Run everything that waits, in partial batches where necessary; the rest comes out."""
        return self._run(flush=True)

    @torch.no_grad()
    def _run(self, flush: bool) -> list[Outcome]:
        outcomes = []
        for index, queue in enumerate(self._queues):  # survivors only move on, so one pass is enough
            stage = self.router.stages[index]
            size = stage.batch_size
            if size is None and index:
                size = self._wait_for_sources if stage.by_source else self.wait_for
            # A source runs once, so it waits for those of its units that may still come.
            held = () if flush or not stage.by_source else {
                source for earlier in self._queues[:index] for batch in earlier for source in batch.sources}
            for batch in queue.batches(size, flush, held):
                self.running = index, batch.ticket
                finished, survivors = self.router.run_stage(index, batch, self.policy)
                self.running = None
                if finished is not None:
                    outcomes.append(finished)
                if survivors is not None:
                    self._queues[index + 1].put(survivors)
        return outcomes

    def check_views(self, count: int) -> None:
        """Raise ValueError if a stage reads a view beyond so many."""
        for index, stage in enumerate(self.router.stages):
            for view in stage.views:
                if not 0 <= view < count:
                    raise ValueError(
                        f'stage {index} reads view {view}, but the pipeline makes {count} view(s); add a view to '
                        "the data pipeline (mmpretrain's MultiView) or correct the stage's view=")


def _full_precision(device_type: str) -> AbstractContextManager:
    return torch.autocast(device_type, enabled=False) if torch.is_autocast_enabled(device_type) else nullcontext()


def rows_where(mask: Tensor) -> np.ndarray:
    """The decision reaches the host here and nowhere else: the one synchronisation of a gap."""
    return np.flatnonzero(mask.cpu().numpy())
