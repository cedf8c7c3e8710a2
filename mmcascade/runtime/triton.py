# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A cascade as a model of Triton's Python backend, which calls the members as models of their own (BLS).

Triton's ensembles cannot leave a member out; a Python model that asks for them one after the other can. The repository
that ``mmcascade export --triton`` writes has a ``model.py`` of one line, which imports :class:`TritonPythonModel`.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcascade.runtime.description.manifest import Manifest
from mmcascade.runtime.description.stages import BundleStage
from mmcascade.runtime.errors import ImageError
from mmcascade.runtime.preprocessing.views import read_seen
from mmcascade.runtime.running.graphs import Engine, Graph
from mmcascade.runtime.running.image_route import Routed, route

#: Rows that one request to a member may have.
MAX_BATCH = 64


def model_name(stage: BundleStage) -> str:
    """What a stage's member is called among the models of a repository."""
    return stage.graph.removesuffix('.onnx')


class TritonPythonModel:
    """The cascade: encoded images in, decisions out.

    Input ``IMAGE``, a string tensor ``(N)`` of encoded images. Outputs, each ``(N)``: ``LABEL``, ``CLASS_NAME``,
    ``CONFIDENCE``, ``EXIT_STAGE``, ``MACS``, and ``ACCEPTED`` where there is a threshold; ``PROBABILITIES``
    ``(N, classes)``. Images of requests that Triton hands over together are decided on together.
    """

    def initialize(self, args: dict[str, str]) -> None:
        """Read cascade.json beside this model; called by Triton."""
        self._triton: Any = importlib.import_module('triton_python_backend_utils')
        self._manifest = Manifest.load(Path(args['model_repository'], args['model_version']))
        shape = (self._manifest.num_classes,)
        self._runs = [_Member(self._triton, stage, shape) for stage in self._manifest.stages]
        wanted = {output['name'] for output in json.loads(args['model_config']).get('output', ())}
        self._outputs = wanted

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Decide on the images of some requests; called by Triton. One that cannot be read fails its own request."""
        pixels: list[NDArray[np.uint8]] = []
        parts: list[slice | str] = []
        for request in requests:
            encoded = self._triton.get_input_tensor_by_name(request, 'IMAGE').as_numpy().ravel()
            try:
                mine = [read_seen(bytes(data), self._manifest.views) for data in encoded]
            except ImageError as error:
                parts.append(str(error))
                continue
            parts.append(slice(len(pixels), len(pixels) + len(mine)))
            pixels += mine
        routed = route(self._manifest, self._runs, pixels) if pixels else None
        return [self._answer(part, routed) for part in parts]

    def _answer(self, part: slice | str, routed: Routed | None) -> Any:
        if isinstance(part, str):
            return self._triton.InferenceResponse(error=self._triton.TritonError(part))
        if routed is None:  # a request without an image
            return self._triton.InferenceResponse(error=self._triton.TritonError('there is no image in IMAGE'))
        labels = routed.probs[part].argmax(1)
        names = self._manifest.classes
        values: dict[str, NDArray[Any]] = {
            'LABEL': labels.astype(np.int32),
            'CLASS_NAME': np.array([('' if names is None else names[k]).encode() for k in labels], np.object_),
            'CONFIDENCE': routed.confidence[part].astype(np.float32),
            'EXIT_STAGE': routed.exit_stage[part].astype(np.int32),
            'MACS': routed.macs[part],
            'PROBABILITIES': routed.probs[part],
        }
        if self._manifest.accept is not None:
            values['ACCEPTED'] = routed.confidence[part] >= self._manifest.accept
        tensors = [self._triton.Tensor(name, value) for name, value in values.items() if name in self._outputs]
        return self._triton.InferenceResponse(output_tensors=tensors)


class _Member(Graph):
    """A member that Triton runs; the base class pads and checks."""

    def __init__(self, triton: Any, stage: BundleStage, shape: tuple[int, ...]) -> None:
        self._triton = triton
        super().__init__(b'', stage, shape, Engine())

    def _load(self, model: bytes, engine: Engine) -> None:
        """Triton has loaded it."""

    def _run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        (images,) = inputs  # cascades with exits that go on from each other are not exported for Triton
        parts = [self._ask(images[start : start + MAX_BATCH]) for start in range(0, len(images), MAX_BATCH)]
        return [np.concatenate(parts)]

    def _ask(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        assert isinstance(self.stage, BundleStage)
        answer = self._triton.InferenceRequest(
            model_name=model_name(self.stage),
            requested_output_names=['values'],
            inputs=[self._triton.Tensor('images', images)],
        ).exec()
        if answer.has_error():
            raise RuntimeError(answer.error().message())
        return self._triton.get_output_tensor_by_name(answer, 'values').as_numpy()
