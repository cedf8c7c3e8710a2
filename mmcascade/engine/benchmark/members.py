# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Members by themselves: at which batch size and in which runtime they are fastest, and how long they then take."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mmcascade._system.progress import Progress
from mmcascade.engine.benchmark.inputs_seen import inputs_seen, run_bare
from mmcascade.engine.benchmark.runtimes import Curve, TimedMember, candidates
from mmcascade.engine.benchmark.speeds import Rounds, weighted
from mmcascade.engine.benchmark.systems import with_batch_size
from mmcascade.engine.benchmark.timing import interleaved
from mmcascade.models.runtimes.batch_sizes import one_row, sweep
from mmcascade.models.stages.stage import MemberStage
from mmcascade.routing.units.sources import Source

#: What names a call that is timed beside members.
Name = tuple[Hashable, ...]


@dataclass(frozen=True)
class MemberTimer:
    """Times members on what they see of some images.

    Attributes:
        images: how many there are.
        sources: which hold them.
        images_in: how many images some of the sources hold.
        device: that members run on.
        sizes: batch sizes to try, besides those of the config.
        runtimes: to try, besides those of the config.
    """

    images: int
    sources: Sequence[Source]
    images_in: Callable[[Sequence[Source]], int]
    device: torch.device
    sizes: Sequence[int]
    runtimes: Sequence[str]

    def stages_and_members(self, stages: Sequence[MemberStage]) -> tuple[list[TimedMember], list[MemberStage]]:
        """The stages, and their members without the cascade where these run otherwise; the latter for each stage."""
        given = list(stages)
        alone = [stage.alone() for stage in given]
        timed = [*given, *(stage for stage in alone if stage not in given)]
        members = self.swept(timed, len(given))
        return members, [members[timed.index(stage)].used for stage in alone]

    def swept(self, timed: Sequence[MemberStage], stages: int) -> list[TimedMember]:
        """Each in every runtime, at its best batch size; the first ones are stages of a cascade.

        Raises:
            ValueError: if one of these chooses what it runs on.
        """
        for index, stage in enumerate(timed[:stages]):
            identity = stage.identity()
            if identity.fallback is not None or identity.join is not None:
                raise ValueError(
                    f'stage {index} chooses what it runs on, crops of cells, of several or the whole image (join, '
                    'fallback), and a benchmark times one of them per stage; time the cascade without join= and '
                    'fallback=, and beside it the member on whole images'
                )
        most = max(self.kinds(), key=len)

        def curve_of(stage: MemberStage) -> Curve:
            inputs = inputs_seen(stage, most, 1)[0]
            if isinstance(inputs, Tensor):
                stage.runtime.settle(inputs[:1])
            return sweep(stage.forward, one_row(inputs), self._sizes_for(stage), device=self.device)

        members = []
        for index, stage in enumerate(timed):
            found, refused = candidates(stage, self.runtimes, curve_of)
            used = with_batch_size(stage, stage.batch_size or found[0].stage.batch_size)
            members.append(TimedMember(index if index < stages else None, used, found, refused))
        return members

    def timed(
        self,
        members: Sequence[TimedMember],
        calls: Mapping[Name, Callable[[], Any]],
        repeats: int,
        progress: Progress,
    ) -> tuple[dict[Name, list[float]], Rounds]:
        """Seconds of other calls in every round, and per run of each member."""
        kinds = self.kinds()
        # Images of another size take another time, so each kind of them is timed by itself.
        inputs = {
            (index, kind): inputs_seen(member.fastest.stage, sources, self.images_in(sources))
            for index, member in enumerate(members)
            for kind, sources in enumerate(kinds)
        }
        bare: dict[Name, Callable[[], Any]] = {
            ('member', *key): partial(run_bare, members[key[0]].fastest.stage, rows) for key, rows in inputs.items()
        }
        seconds = interleaved({**bare, **calls}, repeats, self.device, progress)
        per_run = [
            weighted(
                [sum(1 if member.used.by_source else len(source) for source in sources) for sources in kinds],
                [
                    [s / sum(map(len, inputs[index, kind])) for s in seconds['member', index, kind]]
                    for kind in range(len(kinds))
                ],
            )
            for index, member in enumerate(members)
        ]
        return seconds, Rounds(self.images, per_run)

    def kinds(self) -> list[list[Source]]:
        """The sources by what can be stacked."""
        kinds: dict[Hashable, list[Source]] = {}
        for source in self.sources:
            kinds.setdefault(source.group, []).append(source)
        return list(kinds.values())

    def _sizes_for(self, stage: MemberStage) -> list[int]:
        own = [] if stage.batch_size is None else [stage.batch_size]
        return sorted({*self.sizes, *own})
