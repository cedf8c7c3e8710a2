# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Graphs: raw images in, class values out, by ONNX Runtime or OpenVINO."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mmcascade.runtime.decision.exits import ExitRun
from mmcascade.runtime.decision.fusion import Floats
from mmcascade.runtime.description.stages import BundleStage, SizedGraph
from mmcascade.runtime.errors import BundleError


class GraphRun(ExitRun, Protocol):
    """What runs a graph of a bundle, here or elsewhere."""

    def __call__(self, images: NDArray[np.uint8]) -> Floats:
        """Class values ``(N, *shape)`` of raw images ``(N, C, H, W)``, N from 1."""
        ...


@dataclass(frozen=True)
class Engine:
    """What runs the graphs, and how. A variant that has a member run elsewhere overrides :meth:`load`.

    Attributes:
        name: 'onnxruntime' or 'openvino'.
        threads: of one graph; 0 = as many as the library likes.
        precision: 'f32', or 'bf16' (OpenVINO, on processors that have it): other decisions than calibrated ones.
        providers: execution providers of ONNX Runtime, best first.
    """

    name: str = 'onnxruntime'
    threads: int = 0
    precision: str = 'f32'
    providers: tuple[str, ...] = ('CPUExecutionProvider',)

    def __post_init__(self) -> None:
        if self.name not in ENGINES:
            raise ValueError(f'engine is one of {sorted(ENGINES)}, got {self.name!r}')
        precisions = ('f32', 'bf16') if self.name == 'openvino' else ('f32',)
        if self.precision not in precisions:
            raise ValueError(f'precision of {self.name} is one of {precisions}, got {self.precision!r}')
        if self.threads < 0:
            raise ValueError(f'threads is a whole number from 0, got {self.threads!r}')

    def load(self, folder: Path, member: str, graph: BundleStage | SizedGraph, shape: tuple[int, ...]) -> GraphRun:
        """What runs a graph from a bundle's folder.

        The file is read once, compared with what cascade.json says of it, and given to the library as bytes: what was
        checked is what runs, and nothing that lies beside it is read.

        Args:
            folder: of the bundle.
            member: whose graph it is.
            graph: what cascade.json says of it.
            shape: of the values that it has to give for an image.

        Raises:
            BundleError: if the file is missing, is another one, leads out of the folder, or does not load.
            ImportError: if the engine's library is not installed, saying which extra brings it.
        """
        return ENGINES[self.name](_checked_bytes(folder, graph), graph, shape, self)


class Graph(ABC):
    """A graph of the bundle; the base checks and pads, a variant runs.

    Args:
        model: the ONNX file, as bytes.
        stage: what cascade.json says of it.
        shape: of the values that it has to give for an image: ``(classes,)``, or ``(classes, h, w)`` for maps.
        engine: how to run it.
    """

    def __init__(self, model: bytes, stage: BundleStage | SizedGraph, shape: tuple[int, ...], engine: Engine) -> None:
        self.stage = stage
        self.shape = shape
        self.takes, self.leaves = (stage.takes, stage.leaves) if isinstance(stage, BundleStage) else ((), ())
        try:
            self._load(model, engine)
        except ImportError as error:
            raise ImportError(
                f'{engine.name} is not installed; pip install "mmcascade[{_EXTRAS[engine.name]}]" brings it'
            ) from error
        except Exception as error:  # of the library, for a graph that it does not take
            raise BundleError(f'{stage.graph} cannot be loaded by {engine.name} ({_first_line(error)})') from error

    @abstractmethod
    def _load(self, model: bytes, engine: Engine) -> None:
        """Make what runs."""

    @abstractmethod
    def _run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Outputs for some inputs, both in the order of the graph, as the library gives them."""

    def __call__(self, images: NDArray[np.uint8]) -> Floats:
        """Class values ``(N, *shape)`` of raw images ``(N, C, H, W)``, N from 1.

        Raises:
            BundleError: if the graph fails, or gives anything else.
        """
        return self.go_on([images])[0]

    def go_on(self, inputs: Sequence[NDArray[Any]]) -> tuple[Floats, list[Floats]]:
        """Class values, and what is left behind for later exits, of images or of what an earlier exit left behind.

        Args:
            inputs: raw images ``(N, C, H, W)``; or an array ``(N, *shape)`` for each shape that the stage takes.

        Raises:
            BundleError: if the graph fails, or gives anything else.
        """
        size, count = self.stage.batch, len(inputs[0])
        if size is None:
            outputs = self._checked(inputs)
        else:
            parts = []
            for start in range(0, count, size):
                chosen = [rows[start : start + size] for rows in inputs]
                padded = [np.concatenate([x, np.zeros((size - len(x), *x.shape[1:]), x.dtype)]) for x in chosen]
                parts.append([output[: len(chosen[0])] for output in self._checked(padded)])
            outputs = [np.concatenate(each) for each in zip(*parts, strict=True)]
        return outputs[0], outputs[1:]

    def _checked(self, inputs: Sequence[NDArray[Any]]) -> list[Floats]:
        try:
            outputs = self._run(inputs)
        except Exception as error:
            shapes = ', '.join(str(x.shape[1:]) for x in inputs)
            raise BundleError(f'{self.stage.graph} fails on images of shape {shapes} ({_first_line(error)})') from error
        for output, shape in zip(outputs, (self.shape, *self.leaves), strict=True):
            promised = (len(inputs[0]), *shape)
            if output.shape != promised or not np.issubdtype(output.dtype, np.floating):
                raise BundleError(
                    f'{self.stage.graph} gives {output.dtype} of shape {output.shape} for {len(inputs[0])} images, '
                    f'and cascade.json promises {promised} floats'
                )
        return [output.astype(np.float32, copy=False) for output in outputs]

    def _places(self, names: Sequence[str], outputs: int) -> list[int]:
        """Which of the arrays that are given goes into each input of the graph.

        Args:
            names: of the inputs. What an exit takes are ``state0``, ``state1``, ...; one that it does not read may be
                missing, as libraries leave such out. Images may have any name.
            outputs: how many there are.

        Raises:
            ValueError: unless a graph has the inputs and outputs that cascade.json says.
        """
        expected = [f'state{number}' for number in range(len(self.takes))]
        fits = set(names) <= set(expected) and len(names) > 0 if expected else len(names) == 1
        if not fits or outputs != 1 + len(self.leaves):
            raise ValueError(
                f'it has the inputs {", ".join(names)} and {outputs} outputs, not '
                f'{", ".join(expected) or "one for images"} and {1 + len(self.leaves)}'
            )
        return [expected.index(name) for name in names] if expected else [0]


class OnnxRuntimeGraph(Graph):
    """By onnxruntime."""

    def _load(self, model: bytes, engine: Engine) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = engine.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = ort.InferenceSession(model, options, providers=list(engine.providers))
        inputs = self._session.get_inputs()
        self._order = self._places([x.name for x in inputs], len(self._session.get_outputs()))
        #: Of the images that it takes; names stand for what is open.
        self.input_shape = tuple(inputs[0].shape)
        self._inputs = [(x.name, np.uint8 if x.type == 'tensor(uint8)' else np.float32) for x in inputs]

    def _run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        given = zip(self._inputs, self._order, strict=True)
        return self._session.run(None, {name: inputs[k].astype(dtype, copy=False) for (name, dtype), k in given})


class OpenVinoGraph(Graph):
    """By OpenVINO."""

    def _load(self, model: bytes, engine: Engine) -> None:
        import openvino

        core = openvino.Core()
        settings: dict[str, Any] = {'INFERENCE_PRECISION_HINT': engine.precision}
        if engine.threads:
            settings['INFERENCE_NUM_THREADS'] = engine.threads
        self._model = core.compile_model(core.read_model(model, b''), 'CPU', settings)
        self._order = self._places([_name(x.get_names()) for x in self._model.inputs], len(self._model.outputs))
        self._dtypes = [np.dtype(x.get_element_type().to_dtype()) for x in self._model.inputs]

    def _run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        given = zip(self._order, self._dtypes, strict=True)
        found = self._model([inputs[k].astype(dtype, copy=False) for k, dtype in given])
        return [found[index] for index in range(len(self._model.outputs))]


def _name(several: Collection[str]) -> str:
    """Of an input that goes by several names, that which marks what an exit left behind, if there is one."""
    return min(several, key=lambda name: (not name.startswith('state'), name))


ENGINES: dict[str, type[Graph]] = {'onnxruntime': OnnxRuntimeGraph, 'openvino': OpenVinoGraph}
_EXTRAS = {'onnxruntime': 'runtime', 'openvino': 'openvino'}


def _checked_bytes(folder: Path, stage: BundleStage | SizedGraph) -> bytes:
    """The file of a graph, which is the one that cascade.json speaks of."""
    path = folder / stage.graph
    try:
        if path.resolve().parent != folder.resolve():
            raise BundleError(
                f'{stage.graph} is a link out of the bundle, to {path.resolve()}; a bundle holds its files'
            )
        model = path.read_bytes()
    except OSError as error:
        raise BundleError(f'{stage.graph} cannot be read ({error.strerror})') from error
    if hashlib.sha256(model).hexdigest() != stage.sha256:
        raise BundleError(
            f'{stage.graph} is not the file that cascade.json speaks of (its SHA-256 differs); copy or export it again'
        )
    return model


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
