# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Window-based early-exit cascades of pretrained classifiers and segmentors for OpenMMLab."""

from typing import Any

__version__ = '0.1.0'
__all__ = ['CascadeInferencer', '__version__']


def __getattr__(name: str) -> Any:
    """Load what needs mmpretrain only when it is asked for."""
    if name == 'CascadeInferencer':
        from mmcascade.apis.cascade_inferencer import CascadeInferencer

        return CascadeInferencer
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
