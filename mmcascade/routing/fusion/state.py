# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a unit carries from stage to stage.

Rows are ``(C)`` vectors, or ``(C, h, w)`` maps when a unit is a piece of an image. All tensors below
have the units along dimension 0 and the classes along dimension 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from mmcascade.routing.fusion.distribution import Distribution
from mmcascade.routing.fusion.stage_output import Pixels, StageOutput

#: How the outputs of the stages a unit has run become one distribution. 'prob' averages
#: probabilities (Xia & Bouganis 2023), 'logit' averages logits (Wang et al. 2022, section 3), and
#: 'replace' keeps the last finite output.
FUSIONS = ('prob', 'logit', 'replace')

#: A member's own score from its output and its temperature, ``(N, ...)``.
MemberScore = Callable[['StageOutput', float], Tensor]


@dataclass(frozen=True)
class CascadeState:
    """What N units carry from stage to stage.

    Attributes:
        fusion: one of :data:`FUSIONS`.
        total: ``(N, C, ...)``: the sum of probabilities ('prob'), the sum of logits ('logit'), or the last
            finite probabilities ('replace'), over stages with finite output.
        score_total: ``(N, ...)``, the members' own scores, summed or last like ``total``; None when the
            confidence function reads the fused distribution only.
        ran: number of stages that every one of these units has run.
        finite: int64 ``(N)``, how many of them gave finite output.
        missed: int64 ``(N)``, which of them did not: bit k is set for stage k.
        features: ``(N, ...)`` of the last stage, or None.
        valid: bool ``(N, h, w)``, which pixels of a map belong to its unit; None = all.
        all_finite: whether every stage is known to have given every unit finite output.
        pixels: where the maps above hold some of the pixels: for each stage that ran all of them, and its temperature.
    """

    fusion: str
    total: Tensor
    score_total: Tensor | None
    ran: int
    finite: Tensor
    missed: Tensor
    features: Tensor | None = None
    valid: Tensor | None = None
    all_finite: bool = False
    pixels: tuple[tuple[Pixels, float], ...] = ()

    @classmethod
    def start(
        cls, output: StageOutput, fusion: str, temperature: float = 1.0, member_score: MemberScore | None = None
    ) -> CascadeState:
        """The state after a first stage."""
        total, score = _contribution(output, fusion, temperature, member_score)
        if output.all_finite:
            missed = torch.zeros(len(total), dtype=torch.int64, device=total.device)
        else:
            finite = output.finite_rows()
            total, score = _keep(total, finite), None if score is None else _keep(score, finite)
            missed = (~finite).long()
        return cls(
            fusion=fusion,
            total=total,
            score_total=score,
            ran=1,
            finite=1 - missed,
            missed=missed,
            features=output.features,
            valid=output.valid,
            all_finite=output.all_finite,
            pixels=() if output.pixels is None else ((output.pixels, temperature),),
        )

    def add(
        self, output: StageOutput, temperature: float = 1.0, member_score: MemberScore | None = None
    ) -> CascadeState:
        """The state after one more stage over the same units, in the same order.

        Raises:
            ValueError: if the stage gives another number of classes or rows.
        """
        if output.values.shape != self.total.shape:
            raise ValueError(
                f'stage {self.ran} gives scores of shape {tuple(output.values.shape)}, the stages before it '
                f'{tuple(self.total.shape)}; all members of a cascade need the same classes'
            )
        finite = None if output.all_finite else output.finite_rows()
        total, score = _contribution(output, self.fusion, temperature, member_score)
        total = self._with(self.total, total, finite)
        if score is not None:
            assert self.score_total is not None
            score = self._with(self.score_total, score, finite)
        return replace(
            self,
            total=total,
            score_total=score,
            ran=self.ran + 1,
            finite=self.finite + (1 if finite is None else finite),
            # Not the tensor itself, which may be a slice of a larger one.
            missed=self.missed.clone() if finite is None else self.missed + ((~finite).long() << self.ran),
            features=output.features,
            all_finite=self.all_finite and output.all_finite,
            pixels=self.pixels if output.pixels is None else (*self.pixels, (output.pixels, temperature)),
        )

    def everywhere(self, member_score: MemberScore | None = None) -> CascadeState:
        """The state at all pixels: the same, where it holds them already.

        Args:
            member_score: of the confidence function that will be asked.
        """
        if not self.pixels:
            return self
        # Nothing of the stages before is left where the last one's output takes their place.
        (first, temperature), *later = self.pixels[-1:] if self.fusion == 'replace' and self.all_finite else self.pixels
        state = CascadeState.start(first.output(), self.fusion, temperature, member_score)
        for pixels, temperature in later:
            state = state.add(pixels.output(), temperature, member_score)
        return state

    def _with(self, before: Tensor, added: Tensor, finite: Tensor | None) -> Tensor:
        """A total with what one more stage adds; units whose output is not finite keep what they have (None = none)."""
        if self.fusion == 'replace':
            return added if finite is None else torch.where(_like(finite, added), added, before)
        return before + (added if finite is None else _keep(added, finite))

    @cached_property
    def has_finite(self) -> Tensor:
        """Bool ``(N)``: units with at least one finite output so far."""
        return self.finite > 0

    @cached_property
    def fused(self) -> Distribution:
        """The fused distribution; uniform for units without any finite output."""
        mean = self._mean(self.total)
        if self.fusion == 'logit':
            return Distribution(logits=mean)  # all zeros, hence uniform, where nothing was finite
        if self.all_finite:
            return Distribution(probs=mean)
        return Distribution(probs=torch.where(_like(self.has_finite, mean), mean, 1.0 / mean.shape[1]))

    @cached_property
    def member_score(self) -> Tensor:
        """The mean (or, with 'replace', the last) of the members' own scores, ``(N, ...)``."""
        if self.score_total is None:
            raise ValueError(
                'this state keeps no member scores; pass the confidence function that '
                'needs them to the router that runs the stages'
            )
        return self._mean(self.score_total)

    def _mean(self, total: Tensor) -> Tensor:
        if self.fusion == 'replace' or self.ran == 1:
            return total
        if self.all_finite:
            return total / self.ran
        return total / _like(self.finite.clamp_min(1), total)

    def select(self, rows: Tensor) -> CascadeState:
        """The state of some of the units; ``rows`` is int64 on the state's device."""
        return self._pick(lambda x: x.index_select(0, rows), rows.tolist() if self.pixels else ())

    def slice(self, start: int, stop: int) -> CascadeState:
        """The state of neighbouring units, without a copy."""
        return self._pick(lambda x: x[start:stop], range(len(self.finite))[start:stop])

    def own(self) -> CascadeState:
        """The same state in memory of its own: a slice keeps all rows of the batch that it was cut from."""
        state = self
        if self.total.untyped_storage().nbytes() > self.total.nbytes:
            state = self._pick(lambda x: x.clone(), range(len(self.finite)))
        if not self.pixels:
            return state
        return replace(state, pixels=tuple((pixels.own(), temperature) for pixels, temperature in state.pixels))

    def every(self, step: int) -> CascadeState:
        """The state of every ``step``-th pixel of maps ``(C, h, w)``, see :func:`thinned`; features stay behind.

        Where the maps hold some of the pixels, they are those already.
        """
        if self.pixels:
            return self
        return replace(
            self,
            total=thinned(self.total, step),
            score_total=None if self.score_total is None else thinned(self.score_total, step),
            features=None,
            valid=None if self.valid is None else thinned(self.valid, step),
        )

    def tensors(self) -> Iterator[Tensor]:
        """All tensors that it keeps alive."""
        yield from (x for x in vars(self).values() if isinstance(x, Tensor))
        for pixels, _ in self.pixels:
            yield from pixels.tensors()

    def _pick(self, pick: Callable[[Tensor], Tensor], rows: Iterable[int]) -> CascadeState:
        return replace(
            self,
            total=pick(self.total),
            finite=pick(self.finite),
            missed=pick(self.missed),
            score_total=if_there(pick, self.score_total),
            features=if_there(pick, self.features),
            valid=if_there(pick, self.valid),
            pixels=tuple((pixels.select(rows), temperature) for pixels, temperature in self.pixels),
        )

    @staticmethod
    def cat(states: Sequence[CascadeState]) -> CascadeState:
        """Join the states of units that have run the same stages."""
        first = states[0]
        if len(states) == 1:
            return first

        def join(parts: list[Tensor | None]) -> Tensor | None:
            return None if parts[0] is None else torch.cat(parts)  # type: ignore[arg-type]

        return replace(
            first,
            total=torch.cat([s.total for s in states]),
            score_total=join([s.score_total for s in states]),
            finite=torch.cat([s.finite for s in states]),
            missed=torch.cat([s.missed for s in states]),
            features=join([s.features for s in states]),
            valid=join([s.valid for s in states]),
            all_finite=all(s.all_finite for s in states),
            pixels=tuple(
                (pixels.joined([s.pixels[stage][0] for s in states[1:]]), temperature)
                for stage, (pixels, temperature) in enumerate(first.pixels)
            ),
        )


def thinned(x: Tensor, step: int) -> Tensor:
    """Every so many-th pixel of maps ``(..., h, w)`` in both directions.

    The last one is always there: it belongs to every cell, however little of its frame that fills.
    """
    top, left = ((side - 1) % step for side in x.shape[-2:])
    return x[..., top::step, left::step]


def if_there(function: Callable[[Tensor], Tensor], x: Tensor | None) -> Tensor | None:
    """The function's value, or None where there is nothing."""
    return None if x is None else function(x)


def _contribution(
    output: StageOutput, fusion: str, temperature: float, member_score: MemberScore | None
) -> tuple[Tensor, Tensor | None]:
    """What one stage adds: its logits or probabilities, and its own score."""
    total = output.scaled_logits(temperature) if fusion == 'logit' else output.scaled_probs(temperature)
    return total, None if member_score is None else member_score(output, temperature)


def _like(per_unit: Tensor, x: Tensor) -> Tensor:
    """A ``(N)`` tensor shaped to broadcast against ``(N, ...)``."""
    return per_unit.view(-1, *[1] * (x.dim() - 1))


def _keep(x: Tensor, finite: Tensor) -> Tensor:
    """Zero the rows that are not finite."""
    return torch.where(_like(finite, x), x, 0.0)
