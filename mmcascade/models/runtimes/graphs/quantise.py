# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Graphs in 8-bit integers, by onnxruntime's static quantisation."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from pathlib import Path

import numpy as np

from mmcascade.models.runtimes.graphs.fixed_rows import padded


def quantised(graph: Path, images: np.ndarray, rows: int) -> bytes:
    """A graph whose weights are 8-bit per output channel, and activations 8-bit in the ranges seen on some images.

    Args:
        graph: an ONNX file with the input ``images``.
        images: raw images ``(N, 3, H, W)`` of the calibration split.
        rows: how many of them pass through the graph at once, the last ones padded.

    Raises:
        ValueError: if onnxruntime's quantiser is not there, or fails.
    """
    try:
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise ValueError(f'precision \'int8\' needs onnxruntime ({error}): pip install "mmcascade[onnx]"') from error
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            prepared, result = Path(folder, 'prepared.onnx'), Path(folder, 'int8.onnx')
            quant_pre_process(str(graph), str(prepared), skip_symbolic_shape=True)
            quantize_static(
                str(prepared),
                str(result),
                _Reader(images, rows),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
            return result.read_bytes()
    except (AssertionError, IndexError, KeyError, RuntimeError, TypeError) as error:
        raise ValueError(f'onnxruntime cannot quantise this graph ({type(error).__name__}: {error})') from error
    finally:
        root.setLevel(level)


class _Reader:
    """What onnxruntime's calibration asks for its next inputs."""

    def __init__(self, images: np.ndarray, rows: int) -> None:
        starts = range(0, len(images), rows)
        self._batches = iter([dict(images=padded(images[start : start + rows], rows)) for start in starts])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)
