# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What the stages of all cascades have in common."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Generic, Self

import torch
from torch import Tensor

from mmcascade.calibration.stores.identity import StageIdentity
from mmcascade.models.runtimes.batch_sizes import AUTO, settled_size
from mmcascade.models.runtimes.build import build_runtime
from mmcascade.models.runtimes.execution import Execution
from mmcascade.models.runtimes.networks.network import Network
from mmcascade.models.runtimes.runtime import Runtime
from mmcascade.models.stages.first_scores import check_first_scores
from mmcascade.models.stages.views.resolution import FIXED_SIZE, macs_at
from mmcascade.routing import MacCounter, StageOutput, UnitBatch
from mmcascade.routing.units.sources import SourceT


@dataclass(frozen=True)
class StageOptions:
    """The options that every stage takes.

    Args:
        batch_size: runs when this many units wait, and on so many at most; None = whatever arrives; 'auto' = the size
            that costs least per image here, found by a short sweep and remembered in the user's cache folder.
        macs: multiply-adds per run of the member (per image, or per cell), in place of the counted ones.
        temperature: divides the logits before anything else.
        execution: what changes the speed but not the scores.
    """

    batch_size: int | str | None = None
    macs: float | None = None
    temperature: float = 1.0
    execution: Execution = Execution()

    @classmethod
    def split(cls, config: dict[str, Any]) -> tuple[StageOptions, dict[str, Any]]:
        """These options of a stage's config, whose values were checked, and the others."""

        def taken(names: Sequence[str]) -> dict[str, Any]:
            return {name: config[name] for name in names if name in config}

        execution = taken([field.name for field in fields(Execution)])
        own = taken(['batch_size', 'macs', 'temperature'])
        others = {name: value for name, value in config.items() if name not in execution and name not in own}
        return cls(**own, execution=Execution(**execution)), others


class MemberStage(ABC, Generic[SourceT]):
    """A member applied to a view of the input: what the router runs, and what is asked about it elsewhere.

    A kind of stage says which images the member sees (:meth:`images_of`, :meth:`probes`), to whom its scores belong
    (:meth:`placed`), and what it is called (:meth:`identity`, :meth:`describe`).

    Args:
        member: name of the member, for messages and tables.
        network: the member as a function of raw images.
        counter: multiply-adds of the member, shared by all its stages.
        options: what every stage takes.

    Attributes:
        batch_size: the one in use; an 'auto' that was not found yet is None.
        runtime: runs the network.
        macs: given multiply-adds, or None.
        macs_by_shape: multiply-adds per run for every shape ``(C, H, W)`` that the member has seen.
        on: 'image', or 'cell' if the member runs once for each cell of an image.
        by_source: runs once for all waiting units of a source, such as the cells of an image, and its batch size
            counts sources.
        view, views: index of the view that it reads, and the same as the router wants it.
        trunk: what the exits of one network have in common, see :class:`~mmcascade.routing.Stage`.
    """

    trunk: Hashable = None

    on = 'image'
    by_source = False
    #: Why it runs in torch only, and can have no other runtime; None = it can.
    torch_only: str | None = None
    #: What the member is run on, and what to do where it does not take those, in messages.
    runs_on = 'images'

    def __init__(
        self, member: str, network: Network, counter: MacCounter, options: StageOptions, view: int = 0
    ) -> None:
        self.member = member
        self.network = network
        self.counter = counter
        self.view = view
        self.views: tuple[int, ...] = (view,)
        self.batch_size = None if isinstance(options.batch_size, str) else options.batch_size
        self.macs = options.macs
        self.temperature = options.temperature
        self.execution = options.execution
        self.runtime: Runtime = build_runtime(network, options.execution, member)
        self.macs_by_shape: dict[tuple[int, ...], float] = {}
        self._settled = options.batch_size != AUTO
        self._settled_for: frozenset[Hashable] | None = None
        self._probes: list[Tensor] = []
        self._looked_at = False

    def __call__(self, batch: UnitBatch[SourceT]) -> StageOutput:
        """Run on all units of a batch, which is never empty."""
        images = self.images_of(batch)
        macs = self.macs_of(images)
        self.macs_by_shape[tuple(images.shape[1:])] = macs
        return self.placed(self.checked(self.forward(images)), batch, macs)

    def checked(self, output: StageOutput) -> StageOutput:
        """What :meth:`forward` gave; the first time, it is looked at."""
        if not self._looked_at:
            check_first_scores(self.member, output)
            self._looked_at = True
        return output

    def forward(self, inputs: Any) -> StageOutput:
        """The member's scores of what :meth:`inputs_of` gives: raw images ``(N, 3, H, W)`` at the size that it sees."""
        return self.runtime(inputs, self.batch_size)

    def inputs_of(self, batch: UnitBatch[SourceT]) -> Any:
        """What :meth:`forward` takes of some units of which no stage has run."""
        return self.images_of(batch)

    @abstractmethod
    def images_of(self, batch: UnitBatch[SourceT]) -> Tensor:
        """What the member sees of some units, ``(N, 3, H, W)``."""

    @abstractmethod
    def placed(self, output: StageOutput, batch: UnitBatch[SourceT], macs: float) -> StageOutput:
        """The member's scores as those of the units of a batch.

        Args:
            output: of :meth:`forward`.
            batch: whose images these were.
            macs: multiply-adds per image that the member saw.
        """

    @abstractmethod
    def probes(self, sources: Sequence[SourceT]) -> list[Tensor]:
        """An empty row ``(1, 3, H, W)`` for every shape of which the member would see images."""

    @abstractmethod
    def identity(self, weights: str = '') -> StageIdentity:
        """What its scores depend on, with the fingerprint of the member's weights."""

    @abstractmethod
    def describe(self) -> str:
        """What it runs on, in a word or two for tables."""

    @cached_property
    def source(self) -> str:
        """Its name, the same in a score store and wherever the stage stands in a cascade."""
        return self.identity().source

    @property
    def device(self) -> torch.device:
        """Where the member runs."""
        return next(self.network.module.parameters(), torch.empty(0)).device

    @property
    def remedy(self) -> str:
        """What to do where the member does not take images of a size."""
        return FIXED_SIZE

    def waiting_bytes(self, source: SourceT) -> int:
        """Memory of a unit of a source that waits for the stage."""
        return source.unit_bytes(self.views)

    @property
    def title(self) -> str:
        """What it runs, in a word or two for tables."""
        return self.member

    def alone(self) -> MemberStage[SourceT]:
        """What runs this member without a cascade."""
        return self

    def counted(self, images: Tensor) -> float:
        """Multiply-adds per image ``(N, C, H, W)`` as counted, and proof that the member takes it.

        Raises:
            ValueError: if the member fails at this size.
        """
        return macs_at(self.member, self.counter, images, self.runs_on, self.remedy)

    def macs_of(self, images: Tensor) -> float:
        """Multiply-adds per image as they are charged: those of the config, or else the counted ones."""
        return self.counted(images) if self.macs is None else self.macs

    def settle(self, sources: Sequence[SourceT]) -> None:
        """Find what was left to us, for units like those of a first batch.

        Raises:
            ValueError: if the member does not take images of their size.
        """
        groups = frozenset(source.group for source in sources)
        if groups != self._settled_for:
            probes = self.probes(sources)
            for probe in probes:
                self.count(probe)
            # After all were counted: a size that is refused is asked about again. So is a batch that shows nothing.
            self._probes, self._settled_for = probes, groups if probes else None
        for probe in self._probes:
            self.runtime.settle(probe)
        if self._probes and not self._settled:
            self.batch_size = settled_size(self.runtime, torch.zeros_like(self._probes[0])[0], self.device)
            self._settled = True

    def count(self, probe: Tensor) -> None:
        """Count what images of this shape will be charged, before the first batch of them."""
        self.macs_of(probe)

    def twin(self) -> Self:
        """A copy that is about to see other inputs, or go by another name."""
        twin = copy.copy(self)
        twin.macs_by_shape, twin._settled_for = {}, None
        twin.__dict__.pop('source', None)
        return twin
