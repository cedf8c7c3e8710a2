# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A member written as an ONNX graph."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from mmcascade.models.runtimes.graphs.agreement import sample_images
from mmcascade.models.runtimes.graphs.member_graph import MemberGraph
from mmcascade.models.runtimes.networks.network import Network
from mmcascade.routing.exits.trees import map_leaves

#: The version of ONNX's operators that graphs are written in.
OPSET = 20
#: Rows of the batch that is traced where the graph is to take any number of them; 0 and 1 are special to torch.export.
_TRACED = 2


class ExportError(ValueError):
    """A member that cannot be written as a graph."""


@torch.no_grad()
def export_onnx(network: Network, shape: tuple[int, ...], dtype: torch.dtype, rows: int | None = None) -> bytes:
    """The graph of a network, from raw images ``(N, *shape)`` to class values.

    torch's exporter may bake the number of rows that it traced into a graph without a word (seen with windowed
    attention), so a graph is compared with the member at several of them before it is used.

    Args:
        network: of a member in eval mode.
        shape: of a raw image, ``(3, H, W)``.
        dtype: of raw images.
        rows: how many the graph takes; None = any number.

    Returns:
        An ONNX model with one input, ``images``, and one output, ``values``.

    Raises:
        ExportError: if torch.onnx fails; the message says on what.
    """
    device = next((parameter.device for parameter in network.module.parameters()), torch.device('cpu'))
    images = sample_images(rows or _TRACED, shape, dtype).to(device)
    return export_module(MemberGraph(network).eval(), (images,), ['images'], ['values'], rows is None)


def export_module(
    module: torch.nn.Module, inputs: tuple[Any, ...], input_names: list[str], output_names: list[str], any_rows: bool
) -> bytes:
    """The graph of a module that maps tensors with rows to such tensors.

    Args:
        module: in eval mode.
        inputs: its arguments, each a tensor or a list of tensors; they are traced.
        input_names, output_names: of all tensors, in their order.
        any_rows: whether the graph takes any number of rows, or as many as the inputs have.

    Raises:
        ExportError: if torch.onnx fails; the message says on what.
    """
    try:
        with _quiet():
            program = torch.onnx.export(
                module,
                inputs,
                dynamo=True,
                dynamic_shapes=map_leaves(lambda _: {0: torch.export.Dim.DYNAMIC}, inputs) if any_rows else None,
                opset_version=OPSET,
                input_names=input_names,
                output_names=output_names,
                verbose=False,
            )
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, 'graph.onnx')
                assert program is not None  # dynamo=True gives one
                program.save(path, external_data=False)
                return path.read_bytes()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # exporters fail in many ways
        raise ExportError(reason_of(error)) from error


def reason_of(error: BaseException) -> str:
    """The line of an exporter's error that says what it stumbled over: that of its innermost cause, cut."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = next((line for line in lines if 'aten' in line or 'No ONNX function' in line), lines[0] if lines else '')
    text = f'{type(error).__name__}: {telling}'
    return text if len(text) <= 300 else text[:297] + '...'


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what exporters print, warn and log on their way."""
    names = ('torch', 'torch.onnx', 'torch.export', 'onnxscript', 'onnx_ir', 'onnx')
    before = {name: logging.getLogger(name).level for name in names}
    try:
        for name in names:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter('ignore')
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
