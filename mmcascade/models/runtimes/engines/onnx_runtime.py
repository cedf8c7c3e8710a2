# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mmcascade.models.runtimes.engines.engine import Engine, Session

_CPU = 'CPUExecutionProvider'


@dataclass(frozen=True)
class OnnxRuntime(Engine):
    """Runs graphs in onnxruntime.

    Args:
        precision: 'float32' or 'int8'.
        provider: what runs them, by onnxruntime's name. Whatever it does not know, the processor runs.
        provider_options: of the provider.
    """

    provider: str = _CPU
    provider_options: Mapping[str, Any] = field(default_factory=dict)

    name: ClassVar[str] = 'onnxruntime'
    extra: ClassVar[str] = 'onnx'
    precisions: ClassVar[tuple[str, ...]] = ('float32', 'int8')

    def version(self) -> str:
        """The version of the library that is installed."""
        import onnxruntime

        return onnxruntime.__version__

    def check_installed(self) -> None:
        """Raise ImportError, with the cure, where the library is missing."""
        super().check_installed()
        import onnxruntime

        known = onnxruntime.get_available_providers()
        if self.provider not in known:
            raise ValueError(f'this onnxruntime has no provider {self.provider!r}; it has {known}')

    def open(self, graph: Path, batch: int | None) -> Session:
        """Load a graph, ready to run."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.number_of_threads
        options.log_severity_level = 3
        # Its threads would go on looking for work while torch's, or those of another stage, have some.
        options.add_session_config_entry('session.force_spinning_stop', '1')
        providers: list[Any] = [(self.provider, dict(self.provider_options))]
        if self.provider != _CPU:
            providers.append(_CPU)
        session = onnxruntime.InferenceSession(str(graph), options, providers=providers)

        def run(images: np.ndarray) -> np.ndarray:
            (values,) = session.run(None, {'images': images})
            return values

        return run
