# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The nodes of an ONNX graph, appended one after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper


class Nodes:
    """The nodes of a graph, each of which is named after the stage that it belongs to.

    Args:
        prefix: of all names.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._classes: str | None = None

    def __call__(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Append a node with one output; the output's name."""
        return self.several(operator, 1, *inputs, **attributes)[0]

    def several(self, operator: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        """Append a node; the names of its outputs."""
        names = [f'{self.prefix}{operator}{len(self.nodes)}.{index}' for index in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names

    def constant(self, value: Any, dtype: type = np.float32) -> str:
        """A constant; its name."""
        name = f'{self.prefix}constant{len(self.initializers)}'
        self.initializers.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    @property
    def classes(self) -> str:
        """The axis of the classes."""
        if self._classes is None:
            self._classes = self.constant([1], np.int64)
        return self._classes

    def graph(self, name: str, outputs: Mapping[str, int], order: Sequence[str]) -> onnx.GraphProto:
        """A graph without inputs, the branch of an ``If``."""
        infos = [helper.make_tensor_value_info(output, outputs[output], None) for output in order]
        return helper.make_graph(self.nodes, name, [], infos, self.initializers)
