# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""OpenVINO."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from mmcascade.models.runtimes.engines.engine import Engine, Session

_HINTS = {'float32': 'f32', 'bfloat16': 'bf16', 'float16': 'f16', 'int8': 'f32'}


@dataclass(frozen=True)
class OpenVino(Engine):
    """Runs graphs in OpenVINO.

    Args:
        precision: 'float32', 'bfloat16' (fast where the processor knows it), 'float16' (on GPUs) or 'int8'.
        device: what runs them, by OpenVINO's name, such as 'CPU' or 'GPU'.
        static: open a graph for each number of rows by itself, padded to a few numbers.
    """

    device: str = 'CPU'
    static: bool = False

    name: ClassVar[str] = 'openvino'
    extra: ClassVar[str] = 'openvino'
    precisions: ClassVar[tuple[str, ...]] = ('float32', 'bfloat16', 'float16', 'int8')

    @property
    def fixes_batch(self) -> bool:
        """Whether a graph runs at one batch size only."""
        return self.static

    def version(self) -> str:
        """The version of the library that is installed."""
        import openvino

        return openvino.__version__

    def check_installed(self) -> None:
        """Raise ImportError, with the cure, where the library is missing."""
        super().check_installed()
        import openvino

        known = openvino.Core().available_devices
        if self.device.partition('.')[0] not in {name.partition('.')[0] for name in known}:
            raise ValueError(f'OpenVINO finds no device {self.device!r} here; it has {known}')

    def open(self, graph: Path, batch: int | None) -> Session:
        """Load a graph, ready to run."""
        import openvino

        core = openvino.Core()
        model = core.read_model(graph)
        if batch is not None:
            shape = model.input(0).partial_shape
            shape[0] = batch
            model.reshape({model.input(0).any_name: shape})
        config = {'INFERENCE_PRECISION_HINT': _HINTS[self.precision], 'PERFORMANCE_HINT': 'LATENCY'}
        if self.device == 'CPU':
            # Several processes, or a data loader's workers, would otherwise be bound to the same cores.
            config |= {'INFERENCE_NUM_THREADS': str(self.number_of_threads), 'ENABLE_CPU_PINNING': 'NO'}
        request = core.compile_model(model, self.device, config).create_infer_request()

        def run(images: np.ndarray) -> np.ndarray:
            request.infer({0: images}, share_inputs=True)
            return request.get_output_tensor(0).data.copy()  # the next run writes over it

        return run
