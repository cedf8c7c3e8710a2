# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Recognisers of MMAction2 as members, where that library can be imported beside the others."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

_LIBRARY = 'mmaction'
#: What is needed of the library: its registry, and the modules that fill it.
_PARTS = (_LIBRARY, f'{_LIBRARY}.registry', f'{_LIBRARY}.models')
_INSTEAD = (
    'What takes clips without it: mmcascade.X3D with mmcascade.X3DHead, which load its checkpoints of X3D; '
    'torchvision/NAME such as torchvision/r2plus1d_18; hf-hub:ORG/NAME of VideoMAE and TimeSformer; a module of your '
    'own, built by its code elsewhere. The page on clips has an example of each'
)


def needs_mmaction(config: Any) -> str | None:
    """The first part of a model's config that MMAction2 builds, or None.

    Example:
        >>> needs_mmaction(dict(type='ImageClassifier', backbone=dict(type='mmaction.ResNet3d')))
        'mmaction.ResNet3d'
    """
    if isinstance(config, Mapping):
        kind = str(config.get('type', ''))
        if kind.startswith(f'{_LIBRARY}.') or config.get('_scope_') == _LIBRARY:
            return kind
        config = list(config.values())
    if isinstance(config, list | tuple):
        return next(filter(None, map(needs_mmaction, config)), None)
    return None


def check_mmaction(name: str, config: Any) -> None:
    """Refuse a member that MMAction2 builds where that cannot be imported.

    Args:
        name: of the member, for the message.
        config: of its model.

    Raises:
        ValueError: saying why, and what works.
    """
    kind = needs_mmaction(config)
    if kind is None:
        return
    try:
        if importlib.util.find_spec(_LIBRARY) is None:
            reason = 'that is not installed'
        else:
            for part in _PARTS:
                importlib.import_module(part)
            return
    except Exception as error:  # an assertion about versions, a module left out, names that others dropped
        reason = f'that cannot be imported here ({type(error).__name__}: {error})'
    mmcv = importlib.import_module('mmcv').__version__
    raise ValueError(
        f"member '{name}' needs MMAction2 for its {kind}, and {reason}. Its last release, 1.2.0, takes an mmcv before "
        f'2.2, and here is mmcv {mmcv}. {_INSTEAD}'
    )


def is_recognizer(module: nn.Module) -> bool:
    """Whether a module is a recogniser of MMAction2, known by the name of its base."""
    return any(base.__name__ == 'BaseRecognizer' for base in type(module).__mro__)


class RecognizerNetwork(nn.Module):
    """A recogniser of MMAction2 as a classifier of clips ``(N, T, C, H, W)`` of raw pixels; gives logits.

    A clip is one view of its video: what the recogniser averages over views in a test of its own, stages do here.

    Args:
        recognizer: with its own data preprocessor.

    Raises:
        ValueError: if it has no head of classes, or its data preprocessor says nothing of clips.
    """

    clip = 'NTCHW'

    def __init__(self, recognizer: nn.Module) -> None:
        super().__init__()
        self.network = recognizer
        head = getattr(recognizer, 'cls_head', None)
        self.num_classes = getattr(head, 'num_classes', None)
        if head is None:
            raise ValueError(f'{type(recognizer).__name__} has no cls_head: it gives features, not classes')
        if getattr(recognizer, 'test_cfg', None):  # bounds the views of one video, which are stages here
            recognizer.test_cfg.pop('max_testing_views', None)  # type: ignore[operator, union-attr]
        self.format_shape = getattr(recognizer.data_preprocessor, 'format_shape', None)
        if self.format_shape not in ('NCHW', 'NCTHW'):
            raise ValueError(
                f"data_preprocessor of a {type(recognizer).__name__} has format_shape='NCHW' (frames by themselves) or "
                f"'NCTHW', got {self.format_shape!r}"
            )

    def forward(self, clips: Tensor) -> Tensor:
        """Logits ``(N, classes)``."""
        if clips.dim() != 5:
            raise ValueError(f'a recogniser takes clips (N, T, C, H, W), got a tensor of shape {tuple(clips.shape)}')
        # One view per video: (N, 1, C, T, H, W), or (N, T, C, H, W) where frames are seen one by one.
        rows = clips.transpose(1, 2)[:, None] if self.format_shape == 'NCTHW' else clips
        recognizer: Any = self.network
        prepared = recognizer.data_preprocessor(dict(inputs=list(rows), data_samples=None), False)['inputs']
        features, extra = recognizer.extract_feat(prepared, test_mode=True)  # as its own test does it
        scores = recognizer.cls_head(features, **extra)
        if not isinstance(scores, Tensor) or scores.shape[0] != len(clips):
            raise TypeError(f'{type(recognizer).__name__} gave no row of class scores per clip')
        return scores
