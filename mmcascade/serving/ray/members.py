# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Members in deployments of their own: what runs one there, and the engine by which a bundle asks for it."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcascade.runtime import BundleError, Engine
from mmcascade.runtime.decision.fusion import Floats
from mmcascade.runtime.description.manifest import Manifest
from mmcascade.runtime.description.stages import BundleStage, SizedGraph
from mmcascade.runtime.running.graphs import GraphRun
from mmcascade.serving.batching import Refused

#: What runs graphs where a member has a GPU; the second takes what the first cannot.
ON_GPU = ('CUDAExecutionProvider', 'CPUExecutionProvider')
_WORD = re.compile(r'(?P<name>.+)=(?P<cpus>[^:=]+)(:(?P<gpus>[^:=]+))?')


@dataclass(frozen=True)
class MemberResources:
    """What each replica of a member's deployment holds.

    Attributes:
        cpus: processors; a part is fine.
        gpus: a part of one, or several.
    """

    cpus: float
    gpus: float = 0.0

    def __post_init__(self) -> None:
        check_resources(self.cpus, self.gpus)


def check_resources(cpus: float, gpus: float) -> None:
    """See that a replica can hold so many processors and GPUs.

    Raises:
        ValueError: if not.
    """
    finite = math.isfinite(cpus) and math.isfinite(gpus) and min(cpus, gpus) >= 0
    if not finite or not (gpus <= 1 or float(gpus).is_integer()):
        raise ValueError(
            'processors and GPUs are numbers from 0, and GPUs a part of one or a whole number, got '
            f'{cpus!r} and {gpus!r}'
        )


def read_members(words: Iterable[str]) -> dict[str, MemberResources]:
    """Members and what each holds.

    Args:
        words: ``NAME=CPUS`` or ``NAME=CPUS:GPUS``.

    Raises:
        ValueError: if a word is none, or a name is there twice.

    Example:
        >>> read_members(['small=0.5', 'large=1:1'])
        {'small': MemberResources(cpus=0.5, gpus=0.0), 'large': MemberResources(cpus=1.0, gpus=1.0)}
    """
    members: dict[str, MemberResources] = {}
    for word in words:
        found = _WORD.fullmatch(word)
        if found is None:
            raise ValueError(f'--members takes NAME=CPUS or NAME=CPUS:GPUS, got {word!r}')
        if found['name'] in members:
            raise ValueError(f'--members names {found["name"]!r} twice')
        try:
            members[found['name']] = MemberResources(float(found['cpus']), float(found['gpus'] or 0))
        except ValueError as error:
            raise ValueError(f'--members takes NAME=CPUS or NAME=CPUS:GPUS, got {word!r} ({error})') from error
    return members


def check_members(members: Iterable[str], manifests: Iterable[Manifest]) -> None:
    """See that every name is that of a member.

    Raises:
        ValueError: naming the first that is not, and the nearest that is.
    """
    known = list(dict.fromkeys(stage.member for manifest in manifests for stage in manifest.stages))
    for name in members:
        if name not in known:
            close = get_close_matches(name, known, 1)
            hint = f'did you mean {close[0]!r}? There' if close else 'there'
            raise ValueError(f'no bundle has a member {name!r}; {hint} is {", ".join(map(repr, known))}')


class Member:
    """The graphs of one member, in a replica of its deployment.

    Args:
        name: of the member.
        folders: bundles; of those that have it, its graphs are held.
        engine: what runs them here.

    Raises:
        ImportError: if they are to run on a GPU, and the library cannot.
    """

    def __init__(self, name: str, folders: Sequence[str], engine: Engine) -> None:
        if ON_GPU[0] in engine.providers:
            _require_cuda(name)
        self._runs: dict[str, GraphRun] = {}
        for folder in map(Path, folders):
            for member, graph, shape in Manifest.load(folder).graphs():
                if member == name and graph.sha256 not in self._runs:
                    self._runs[graph.sha256] = engine.load(folder, member, graph, shape)

    def holds(self, sha256: str) -> bool:
        """Whether there is a graph with this hash."""
        return sha256 in self._runs

    def go_on(self, sha256: str, inputs: list[NDArray[Any]]) -> tuple[Floats, list[Floats]]:
        """What the graph with this hash gives and leaves behind.

        See :meth:`~mmcascade.runtime.running.graphs.Graph.go_on`.
        """
        return self._runs[sha256].go_on(inputs)


class MemberGraph:
    """A graph that runs in its member's deployment. Not to be called within an event loop: it waits.

    Args:
        member: its name.
        handle: of the deployment.
        graph: which of its graphs.
        seconds: how long an answer may take.

    Raises:
        BundleError: if the deployment holds another one.
    """

    def __init__(self, member: str, handle: Any, graph: BundleStage | SizedGraph, seconds: float) -> None:
        self._member = member
        self._handle = handle
        self._sha256 = graph.sha256
        self._seconds = seconds
        if not handle.holds.remote(graph.sha256).result():  # which waits until there is a replica
            raise BundleError(
                f'{graph.graph} is another file where member {member!r} runs; copy the bundle there again'
            )

    def __call__(self, images: NDArray[np.uint8]) -> Floats:
        """See :meth:`~mmcascade.runtime.running.graphs.Graph.__call__`."""
        return self.go_on([images])[0]

    def go_on(self, inputs: Sequence[NDArray[Any]]) -> tuple[Floats, list[Floats]]:
        """See :meth:`~mmcascade.runtime.running.graphs.Graph.go_on`.

        Raises:
            Refused: if no replica answers in time.
        """
        from ray.exceptions import RayActorError

        until = time.monotonic() + self._seconds
        while (left := until - time.monotonic()) > 0:
            answer = self._handle.go_on.remote(self._sha256, list(inputs))
            try:
                return answer.result(timeout_s=left)
            except TimeoutError:
                answer.cancel()
            except RayActorError:  # the replica died, and a graph remembers nothing: ask the next one
                time.sleep(min(left, 0.1))
        raise Refused(503, f'member {self._member!r} gave no answer within {self._seconds:g} seconds')


@dataclass(frozen=True)
class MembersEngine(Engine):
    """Runs some members in their deployments, and the others here.

    Attributes:
        handles: of the deployments, by member.
        seconds: how long an answer may take.
    """

    handles: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 10.0

    def load(self, folder: Path, member: str, graph: BundleStage | SizedGraph, shape: tuple[int, ...]) -> GraphRun:
        """See the base class."""
        if member not in self.handles:
            return super().load(folder, member, graph, shape)
        return MemberGraph(member, self.handles[member], graph, self.seconds)


def deployment_name(member: str) -> str:
    """What a member's deployment is called within the application."""
    return f'member-{member}'


def member_deployment(
    member: str, folders: Sequence[str], engine: Engine, resources: MemberResources, most: int
) -> Any:
    """The deployment of a member, as Ray Serve takes it.

    Args:
        member: its name.
        folders: of all bundles.
        engine: what runs its graphs.
        resources: of each replica.
        most: replicas, which come and go with the batches that wait.
    """
    from ray import serve

    made: Any = serve.deployment(  # whose types know it as a decorator only
        Member,
        name=deployment_name(member),
        ray_actor_options={'num_cpus': resources.cpus, 'num_gpus': resources.gpus},
        autoscaling_config={'min_replicas': 1, 'max_replicas': most, 'target_ongoing_requests': 2},
        # A cascade asks for one batch at a time, and the next one is there when a batch is done.
        max_ongoing_requests=2,
        graceful_shutdown_timeout_s=30.0,
        health_check_period_s=2.0,
    )
    return made.bind(member, list(folders), replace(engine, providers=ON_GPU) if resources.gpus else engine)


def _require_cuda(member: str) -> None:
    import onnxruntime

    if ON_GPU[0] not in onnxruntime.get_available_providers():
        raise ImportError(
            f'member {member!r} is to run on a GPU, and ONNX Runtime here has no {ON_GPU[0]}: install onnxruntime-gpu '
            'in place of onnxruntime on the machines with GPUs'
        )
