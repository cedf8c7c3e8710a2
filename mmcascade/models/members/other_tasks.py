# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Models that do not give one distribution over classes, known by the names of their classes.

The classes of the libraries are recognised by name, so that nothing has to be imported for it and the forks' classes
count as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.registry import MODELS
from torch import nn

_WORDS = 'it answers in words, not in classes'
OTHER_TASKS = {
    'MultiLabelClsHead': 'it scores every class by itself, so there is no one prediction whose '
    'confidence could be judged',
    'MultiTaskHead': 'it answers several questions at once',
    'RegressionHead': 'it predicts numbers, not classes',
    'BaseRetriever': 'it ranks by similarity, which is no probability of a class',
    'BaseSelfSupervisor': 'it is a pre-training model and has no classes',
    'DepthEstimator': 'it predicts depth, not classes',
    **dict.fromkeys(('BlipCaption', 'BlipVQA', 'Blip2Caption', 'Blip2VQA', 'Flamingo', 'Llava'), _WORDS),
    **dict.fromkeys(('MiniGPT4', 'OFA', 'Otter'), _WORDS),
    **dict.fromkeys(('BlipGrounding', 'BlipNLVR', 'BlipRetrieval', 'Blip2Retrieval'), 'it matches images and words'),
}


def other_task(module: nn.Module) -> str | None:
    """Why a model does not give one distribution over classes, or None if it may well do."""
    head = getattr(module, 'head', None)
    for part in (module, head):
        if reason := _reason(base.__name__ for base in type(part).__mro__):
            return f'{type(part).__name__}: {reason}'
    if head is None and hasattr(module, 'head'):
        return _headless(type(module).__name__)
    return None


def other_task_of_config(config: Mapping[str, Any]) -> str | None:
    """The same from the dict of a model, before anything is built: pre-training models fetch their teachers first."""
    scope = config.get('_scope_')
    for part in (config, config.get('head')):
        if isinstance(part, Mapping) and 'type' in part:
            names = _class_names(part['type'], scope)
            if reason := _reason(names):
                return f'{names[0]}: {reason}'
            if part is config and 'ImageClassifier' in names and config.get('head') is None:
                return _headless(names[0])
    return None


def _reason(names: Iterable[str]) -> str | None:
    return next((OTHER_TASKS[name] for name in names if name in OTHER_TASKS), None)


def _headless(name: str) -> str:
    return f'{name} has no head: it gives features, not classes'


def _class_names(kind: Any, scope: str | None) -> list[str]:
    """The names of a class and its bases, the written one first; only that if no such class is registered."""
    if isinstance(kind, str):
        written = kind.rpartition('.')[2]
        try:
            with MODELS.switch_scope_and_registry(scope) as registry:
                kind = registry.get(kind)
        except Exception:  # what cannot be imported is reported when it is built
            kind = None
        return [written, *(base.__name__ for base in getattr(kind, '__mro__', ()))]
    return [base.__name__ for base in getattr(kind, '__mro__', ())] or [str(kind)]
