# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What runs graphs of members: one file each, and their names in configs.

An engine derives from ``Engine``, says its precisions, opens a graph as a session, and is added to ``ENGINES``; its
library is imported when it opens one. It knows no member: graphs are written and compared with torch in ``graphs``.
Bundles have engines of their own, without torch, in ``runtime.running``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmcascade.models.runtimes.engines.engine import Engine
from mmcascade.models.runtimes.engines.onnx_runtime import OnnxRuntime
from mmcascade.models.runtimes.engines.openvino import OpenVino

#: The runtime of a stage that asks for none.
TORCH = 'torch'
#: By their names in configs. An engine of your own is added here.
ENGINES: dict[str, type[Engine]] = {engine.name: engine for engine in (OnnxRuntime, OpenVino)}


def engine_from(runtime: Any) -> Engine | None:
    """The engine that ``runtime=`` of a stage names, with its options; None stands for torch.

    Args:
        runtime: a name such as 'openvino'; a name and a precision, 'openvino:bfloat16'; a dict such as
            ``dict(type='onnxruntime', threads=2)``; an engine; or None.

    Raises:
        ValueError: on a name or an option that is not known.

    Example:
        >>> engine_from('openvino:bfloat16').arithmetic
        'bfloat16 in openvino'
        >>> engine_from('torch') is None
        True
    """
    if runtime is None or isinstance(runtime, Engine):
        return runtime
    if isinstance(runtime, str):
        name, _, precision = runtime.partition(':')
        runtime = dict(type=name, **(dict(precision=precision) if precision else {}))
    if not isinstance(runtime, Mapping) or not isinstance(runtime.get('type'), str):
        raise ValueError(
            f"runtime is one of {[TORCH, *ENGINES]}, or a dict such as dict(type='openvino', precision='bfloat16'), "
            f'got {runtime!r}'
        )
    options = dict(runtime)
    name = options.pop('type')
    if name == TORCH and not options:
        return None
    if name not in ENGINES:
        extra = f' with the options {sorted(options)}, which torch does not take' if name == TORCH else ''
        raise ValueError(f'runtime is one of {[TORCH, *ENGINES]}, got {name!r}{extra}')
    try:
        return ENGINES[name](**options)
    except TypeError as error:
        raise ValueError(f'runtime {name!r} does not take these options: {error}') from error


def installed() -> list[str]:
    """The names of the engines whose libraries are there."""
    found = []
    for name, engine in ENGINES.items():
        try:
            engine().check_installed()
        except ValueError:
            continue
        found.append(name)
    return found
