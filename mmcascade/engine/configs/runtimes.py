# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The runtime of a cascade's stages, from the command line."""

from __future__ import annotations

from mmengine.config import Config

from mmcascade.models.runtimes.engines import engine_from

# What torch is told about a stage, and other runtimes do not take.
_OF_TORCH = ('amp', 'compile', 'channels_last')


def set_runtime(cfg: Config, runtime: str | None, amp: bool = False) -> None:
    """Let all stages of a cascade run in one runtime, in place; options of torch are left out where it is another one.

    Args:
        cfg: config of a cascade.
        runtime: as :func:`~mmcascade.models.runtimes.engines.engine_from` takes it; None = as the config says.
        amp: whether the members are to run in mixed precision.

    Raises:
        ValueError: on an unknown runtime, a model without stages, or mixed precision in a runtime that is not torch.
    """
    stages = (cfg.get('model') or {}).get('stages')
    if stages is not None and not (isinstance(stages, list) and all(isinstance(stage, dict) for stage in stages)):
        return  # which the model refuses, saying what stages are
    if runtime is not None:
        if not stages:
            raise ValueError(f'--runtime is for the stages of a cascade, and {cfg.model.get("type")} has none')
        engine = engine_from(runtime)
        for stage in stages:
            stage['runtime'] = runtime
            for option in _OF_TORCH if engine is not None else ():
                stage.pop(option, None)
    others = [stage['runtime'] for stage in stages or () if engine_from(stage.get('runtime')) is not None]
    if amp and others:
        raise ValueError(
            f'--amp is mixed precision in torch, but a stage runs in {others[0]!r}: leave --amp out, or give the '
            'runtime a precision, such as openvino:bfloat16'
        )
