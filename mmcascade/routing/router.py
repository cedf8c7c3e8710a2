# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The one router: the only code that runs stages on selected units, and that adds up their cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import numpy as np
import torch
from torch import Tensor

from mmcascade.routing.confidences.confidence import Confidence, build_confidence
from mmcascade.routing.confidences.score_maps import ScoreMap, judged_score
from mmcascade.routing.exits.exit_state import left_behind, trunk_of
from mmcascade.routing.fusion.stage_output import StageOutput
from mmcascade.routing.fusion.state import FUSIONS, CascadeState
from mmcascade.routing.policies.policies import ExitPolicy, going_on
from mmcascade.routing.stream import Stage, Stream
from mmcascade.routing.units.outcome import Outcome
from mmcascade.routing.units.sources import Source, UnitNumbers, Views
from mmcascade.routing.units.unit_batch import UnitBatch

#: What is kept of N finished units, each ``(N, ...)``: from the state and the output of the batch that a stage ran on
#: last, and their rows in it, int64 ``(N)`` (None = all).
Results = Callable[[CascadeState, StageOutput, Tensor | None], dict[str, Tensor]]

#: Told of every run of a stage: its number, its units with what they carry by now, and their confidence ``(N)``.
StageWatch = Callable[[int, UnitBatch, Tensor], None]


def keep_probs(state: CascadeState, output: StageOutput, rows: Tensor | None) -> dict[str, Tensor]:
    """The fused class probabilities, ``(N, C, ...)``, as 'probs'."""
    del output
    return {'probs': (state if rows is None else state.select(rows)).fused.probs}


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

    Attributes:
        watch: told of every run of a stage before anybody leaves; None = nobody asks.

    Raises:
        ValueError: on no stage, a policy for another number of gaps, maps for another number of stages, or unknown
            names.

    Example:
        >>> import torch
        >>> from mmcascade.routing import CachedStage, ThresholdPolicy
        >>> small = CachedStage(torch.tensor([[4.0, 0.0], [0.1, 0.0]]), macs=1.0)
        >>> large = CachedStage(torch.tensor([[9.0, 0.0], [0.0, 9.0]]), macs=10.0)
        >>> router = CascadeRouter([small, large], ThresholdPolicy([0.9]))
        >>> outcome = router.route([], [0, 1])  # stored units have no images to hand in
        >>> outcome.exit_stage.tolist(), outcome.macs.tolist(), outcome.probs.argmax(1).tolist()
        ([0, 1], [1.0, 11.0], [0, 1])
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        policy: ExitPolicy,
        confidence: str | Confidence = 'max_prob',
        fusion: str = 'prob',
        maps: Sequence[ScoreMap | None] | None = None,
        results: Results = keep_probs,
    ) -> None:
        if not stages:
            raise ValueError('a cascade needs at least one stage, got none')
        if policy.num_gaps != len(stages) - 1:
            raise ValueError(
                f'{len(stages)} stages have {len(stages) - 1} gaps between them, but {policy!r} decides '
                f'{policy.num_gaps}; give it one entry per gap'
            )
        if fusion not in FUSIONS:
            raise ValueError(f'unknown fusion {fusion!r}; expected one of {FUSIONS}')
        if maps is not None and len(maps) != len(stages):
            raise ValueError(f'{len(stages)} stages need as many score maps, None where there is none, got {len(maps)}')
        self.stages = list(stages)
        self.policy = policy
        self.confidence = build_confidence(confidence)
        self.fusion = fusion
        self.maps = maps
        self.results = results
        self._later_trunks = [
            frozenset(trunk_of(later) for later in self.stages[index + 1 :]) - {None}
            for index in range(len(self.stages))
        ]
        self.watch: StageWatch | None = None
        self._member_score = self.confidence.member_score(fusion)
        self.restart()

    def stream(self, wait_for: int | None = None) -> Stream:
        """A context in which units are submitted and come out finished.

        Args:
            wait_for: later stages without a batch size of their own wait until so many units are there (or sources, if
                they take whole ones); None = they run on whatever arrives.
        """
        return self._stream(self.policy.start_stream(), wait_for)

    def restart(self) -> None:
        """Forget what the policy learnt from the batches given to :meth:`route`, which are one stream to it."""
        self._batch_policy = self.policy.start_stream()

    def route(self, inputs: Views | Source, units: UnitNumbers = None) -> Outcome | None:
        """Route one batch to its end; the outcome is in the order of submission, None for an empty batch.

        Args:
            inputs: one tensor per view, ``(N, ...)``, or another source of N units.
            units: index of each unit in the data set; by default 0..N-1.
        """
        return self.route_all([(inputs, units)])

    def route_all(self, batch: Sequence[tuple[Views | Source, UnitNumbers]]) -> Outcome | None:
        """Route several sources with their units to their end as one batch."""
        with self._stream(self._batch_policy) as stream:
            for inputs, units in batch:
                stream.enqueue(inputs, units)
            outcomes = stream.flush()
        if len(outcomes) < 2:
            return outcomes[0] if outcomes else None
        return Outcome.cat(outcomes).in_order()

    def _stream(self, policy: ExitPolicy, wait_for: int | None = None) -> Stream:
        return Stream(self.stages, partial(self.run_stage, policy), wait_for)

    def run_stage(self, policy: ExitPolicy, index: int, batch: UnitBatch) -> tuple[Outcome | None, UnitBatch | None]:
        """Run one stage: the units that are finished, and those that go on to the next stage."""
        stage = self.stages[index]
        output = stage(batch)
        batch.macs = batch.macs + (output.macs.cpu().numpy() if isinstance(output.macs, Tensor) else output.macs)
        batch.exits = left_behind(batch.exits, trunk_of(stage), output.state, self._later_trunks[index])
        # Scores decide, and are compared with thresholds from another run: never in half precision.
        with _full_precision(output.values.device.type):
            if batch.state is None:
                batch.state = CascadeState.start(output, self.fusion, stage.temperature, self._member_score)
            else:
                batch.state = batch.state.add(output, stage.temperature, self._member_score)
            confidence = self.confidence(batch.state)
            if self.watch is not None:
                self.watch(index, batch, confidence)
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
        return rows_where(
            going_on(
                policy, gap, confidence, batch.state.has_finite, torch.as_tensor(batch.unit), self.confidence.empty
            )
        )

    def _finish(
        self, batch: UnitBatch, output: StageOutput, confidence: Tensor, rows: np.ndarray | None, stage: int
    ) -> Outcome:
        assert batch.state is not None
        leaving = slice(None) if rows is None else rows
        index = None if rows is None else torch.as_tensor(rows).to(confidence.device)

        def left(x: Tensor) -> Tensor:
            return x if index is None else x.index_select(0, index)

        macs = batch.macs[leaving]
        return Outcome(
            ticket=batch.ticket[leaving],
            unit=batch.unit[leaving],
            results=self.results(batch.state, output, index),
            confidence=left(confidence),
            exit_stage=np.full(len(macs), stage),
            macs=macs,
            finite_stages=left(batch.state.finite),
            missed_stages=left(batch.state.missed),
        )


def _full_precision(device_type: str) -> AbstractContextManager:
    return torch.autocast(device_type, enabled=False) if torch.is_autocast_enabled(device_type) else nullcontext()


def rows_where(mask: Tensor) -> np.ndarray:
    """The decision reaches the host here and nowhere else: the one synchronisation of a gap."""
    return np.flatnonzero(mask.cpu().numpy())
