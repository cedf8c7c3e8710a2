# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Graphs: raw images in, class values out, by ONNX Runtime or OpenVINO."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcascade.runtime.decision.fusion import Floats
from mmcascade.runtime.description.manifest import SizedGraph, Stage
from mmcascade.runtime.errors import BundleError


@dataclass(frozen=True)
class Engine:
    """What runs the graphs, and how.

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


class Graph(ABC):
    """A graph of the bundle; the base checks and pads, a variant runs.

    Args:
        model: the ONNX file, as bytes.
        stage: what cascade.json says of it.
        shape: of the values that it has to give for an image: ``(classes,)``, or ``(classes, h, w)`` for maps.
        engine: how to run it.
    """

    def __init__(self, model: bytes, stage: Stage | SizedGraph, shape: tuple[int, ...], engine: Engine) -> None:
        self.stage = stage
        self.shape = shape
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
    def _run(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        """Values of some images, as the library gives them."""

    def __call__(self, images: NDArray[np.uint8]) -> Floats:
        """Class values ``(N, *shape)`` of raw images ``(N, C, H, W)``, N from 1.

        Raises:
            BundleError: if the graph fails, or gives anything else.
        """
        size = self.stage.batch
        if size is None:
            return self._checked(images)
        parts = []
        for start in range(0, len(images), size):
            part = images[start : start + size]
            padding = np.zeros((size - len(part), *part.shape[1:]), part.dtype)
            parts.append(self._checked(np.concatenate([part, padding]))[: len(part)])
        return np.concatenate(parts)

    def _checked(self, images: NDArray[np.uint8]) -> Floats:
        try:
            values = self._run(images)
        except Exception as error:
            raise BundleError(
                f'{self.stage.graph} fails on images of shape {images.shape[1:]} ({_first_line(error)})'
            ) from error
        promised = (len(images), *self.shape)
        if values.shape != promised or not np.issubdtype(values.dtype, np.floating):
            raise BundleError(
                f'{self.stage.graph} gives {values.dtype} of shape {values.shape} for {len(images)} images, '
                f'and cascade.json promises {promised} floats'
            )
        return values.astype(np.float32, copy=False)


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
        if len(inputs) != 1 or len(self._session.get_outputs()) != 1:
            raise ValueError(
                f'it has {len(inputs)} inputs and {len(self._session.get_outputs())} outputs, not one each'
            )
        self._input = inputs[0].name
        #: Of the images that it takes; names stand for what is open.
        self.input_shape = tuple(inputs[0].shape)
        self._dtype = np.uint8 if inputs[0].type == 'tensor(uint8)' else np.float32

    def _run(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        return self._session.run(None, {self._input: images.astype(self._dtype, copy=False)})[0]


class OpenVinoGraph(Graph):
    """By OpenVINO."""

    def _load(self, model: bytes, engine: Engine) -> None:
        import openvino

        core = openvino.Core()
        settings: dict[str, Any] = {'INFERENCE_PRECISION_HINT': engine.precision}
        if engine.threads:
            settings['INFERENCE_NUM_THREADS'] = engine.threads
        self._model = core.compile_model(core.read_model(model, b''), 'CPU', settings)
        if len(self._model.inputs) != 1 or len(self._model.outputs) != 1:
            raise ValueError(f'it has {len(self._model.inputs)} inputs and {len(self._model.outputs)} outputs')
        self._dtype = np.dtype(self._model.inputs[0].get_element_type().to_dtype())

    def _run(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        return self._model(images.astype(self._dtype, copy=False))[0]


ENGINES: dict[str, type[Graph]] = {'onnxruntime': OnnxRuntimeGraph, 'openvino': OpenVinoGraph}
_EXTRAS = {'onnxruntime': 'runtime', 'openvino': 'openvino'}


def load_graph(folder: Path, stage: Stage | SizedGraph, shape: tuple[int, ...], engine: Engine) -> Graph:
    """A graph from the bundle's folder.

    The file is read once, compared with what cascade.json says of it, and given to the library as bytes: what was
    checked is what runs, and nothing that lies beside it is read.

    Raises:
        BundleError: if the file is missing, is another one, leads out of the folder, or does not load.
    """
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
    return ENGINES[engine.name](model, stage, shape, engine)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
