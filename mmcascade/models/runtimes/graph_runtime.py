# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A member run as a graph."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from mmcascade.models.runtimes.execution import Execution
from mmcascade.models.runtimes.graphs.agreement import TOLERANCES
from mmcascade.models.runtimes.graphs.checked_graphs import CheckedGraphs, GraphError, Opened
from mmcascade.models.runtimes.graphs.graph_cache import GraphCache
from mmcascade.models.runtimes.graphs.subject import Subject
from mmcascade.models.runtimes.networks.network import Network
from mmcascade.models.runtimes.runtime import Runtime
from mmcascade.routing import StageOutput

#: Shapes of images that a stage may have. Each is a graph of its own, which takes seconds to write.
MAX_SHAPES = 8
# Rows of a first real batch that also run in torch.
_COMPARED = 4


class GraphRuntime(Runtime):
    """Runs a member as a graph, one for each shape of its images. What opens graphs is the engine of the stage.

    Args:
        network: of the member.
        execution: with an engine.
        member: its name, for messages.

    Raises:
        ValueError: if the engine is not installed, the network gives more than class values, or an option of torch is
            given besides.
    """

    def __init__(self, network: Network, execution: Execution, member: str = 'member') -> None:
        super().__init__(network, execution, member)
        assert execution.runtime is not None
        self.engine = execution.runtime
        self._sessions: dict[tuple[Any, ...], Opened] = {}
        self._compared: set[tuple[Any, ...]] = set()
        self._weights: tuple[int, ...] = ()
        self._watched: list[dict[str, Tensor | None]] | None = None
        self._check()
        self.engine.check_installed()

    def run(self, images: Tensor, full: int | None) -> StageOutput:
        """Class scores where the images are.

        Raises:
            GraphError: if the member has no graph for images of this shape, or is too far from torch on a first batch.
        """
        return self.network.graph_output(self.values(images, full), (images.shape[-2], images.shape[-1]))

    def values(self, images: Tensor, full: int | None = None) -> Tensor:
        """What the graph gives, ``(N, C, ...)`` in float32."""
        key = _key(images)
        if key not in self._sessions:
            self._prepare(images)
        values = torch.from_numpy(self._sessions[key](images.detach().cpu().contiguous().numpy(), full))
        if key not in self._compared and _shows_something(images):
            self._compared.add(key)
            self._compare(images[:_COMPARED], values[:_COMPARED])
        return values.to(images.device)

    def settle(self, images: Tensor) -> None:
        """Write or find the graph for images of this shape, compare it with torch and open it.

        Raises:
            GraphError: as :meth:`run`.
        """
        if self._watched is None:  # finding them takes longer than looking at them
            self._watched = _places(self.network)
        tensors = (x for place in self._watched for x in place.values() if x is not None)
        weights = tuple(number for x in tensors for number in (x.data_ptr(), x._version))
        if weights != self._weights:  # they were loaded since
            self._weights = weights
            self._sessions.clear()
            self._compared.clear()
        if _key(images) not in self._sessions:
            self._prepare(images)

    def _prepare(self, images: Tensor) -> None:
        if any(torch.is_autocast_enabled(device) for device in ('cpu', 'cuda')):
            raise GraphError(
                f"mixed precision is torch's, and member {self.member!r} runs in {self.engine.name}: leave --amp "
                "out, or runtime=, or give the runtime a precision, such as dict(type='openvino', precision='bfloat16')"
            )
        if len(self._sessions) >= MAX_SHAPES:
            raise GraphError(
                f'member {self.member!r} got images of more than {MAX_SHAPES} shapes, and in {self.engine.name} each '
                'takes a graph of its own: resize or crop them in the data pipeline, leave join= out where they are '
                'rectangles of cells, or leave runtime= out'
            )
        self._sessions[_key(images)] = CheckedGraphs(self._subject(images), self.engine, GraphCache()).open()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), '_sessions': {}, '_compared': set(), '_watched': None}  # a copy has weights of its own

    def _subject(self, images: Tensor) -> Subject:
        return Subject(self.member, self.network, tuple(images.shape[1:]), images.dtype)

    def _compare(self, images: Tensor, values: Tensor) -> None:
        subject = self._subject(images)
        found = subject.difference(values, subject.reference(images))
        gap = f'{found.probability:.1e} in probability'
        print_log(f'{subject} in {self.engine}: a first batch differs from torch by at most {gap}', logger='current')
        limit = TOLERANCES['float32'].probability
        if self.engine.exact and not found.probability <= limit:
            raise GraphError(
                f'{subject} in {self.engine} differs from torch by {gap} on a first batch, where rounding is at most '
                f"{limit:g}: leave runtime= out of its stage (or give it runtime='torch')"
            )

    def _check(self) -> None:
        options, name = self.execution, self.engine.name
        for option, given in (
            ('amp', options.amp),
            ('compile', options.compile),
            ('channels_last', options.channels_last),
        ):
            if given:
                bfloat16 = option == 'amp' and 'bfloat16' in self.engine.precisions
                hint = f", or give it as dict(type='{name}', precision='bfloat16')" if bfloat16 else ''
                raise ValueError(
                    f'{option}= is an option of torch, and member {self.member!r} runs in {name}: leave it out{hint}'
                )
        if getattr(self.network, 'gives_features', False):
            raise ValueError(
                f'the confidence reads features, which the graph of member {self.member!r} in {name} does not give: '
                'leave runtime= out of its stage, or take a confidence that reads class scores'
            )


def _key(images: Tensor) -> tuple[Any, ...]:
    return (*images.shape[1:], images.dtype)


def _shows_something(images: Tensor) -> bool:
    return bool(images.max() > images.min())


def _places(network: Network) -> list[dict[str, Tensor | None]]:
    """Where modules keep their weights: a tensor may be replaced by another one."""
    parts = network.module.modules()
    places: list[Any] = [place for part in parts for place in (part._parameters, part._buffers)]  # of many types
    return [place for place in places if place]
