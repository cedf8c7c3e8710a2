# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What test pipelines of OpenMMLab do to images, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmcascade.models.members.recipes.recipe import StepFields, center_crop

#: Steps that move things into place and leave pixels alone.
_PACKING = {'PackInputs', 'PackSegInputs', 'LoadAnnotations', 'Collect', 'ImageToTensor'}


def pipeline_view(pipeline: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The view in a test pipeline, as data: ``channels`` and ``steps``.

    Args:
        pipeline: transforms as configs have them, from loading to packing.

    Raises:
        ValueError: naming the first transform that is not known here.
    """
    channels, steps = 'bgr', []
    for transform in pipeline:
        name = str(transform['type']).rpartition('.')[2]
        if name == 'LoadImageFromFile':
            channels = _channels(transform)
        elif name == 'ViewSteps':
            channels = transform['channels']
            steps += [dict(step) for step in transform['steps']]
        elif name not in _PACKING:
            if name not in _TRANSFORMS:
                raise ValueError(
                    f'{name} of the test pipeline is not known outside of OpenMMLab; known are {sorted(_TRANSFORMS)}'
                )
            steps.append(_TRANSFORMS[name](transform))
    return {'channels': channels, 'steps': steps}


def _channels(transform: Mapping[str, Any]) -> str:
    kind = transform.get('color_type', 'color')
    if kind not in ('color', 'grayscale') or transform.get('to_float32'):
        raise ValueError(f'LoadImageFromFile with {dict(transform)} is not known outside of OpenMMLab')
    return 'bgr' if kind == 'color' else 'grey'


def _filter(transform: Mapping[str, Any], method: str = 'bilinear') -> StepFields:
    library = {'cv2': 'opencv', None: 'opencv', 'pillow': 'pillow'}[transform.get('backend', 'cv2')]
    return {'library': library, 'method': transform.get('interpolation', method)}


def _resize_edge(transform: Mapping[str, Any]) -> StepFields:
    edge = transform.get('edge', 'short')
    return {'op': 'resize_edge', 'edge': edge, 'size': transform['scale'], **_filter(transform)}


def _resize(transform: Mapping[str, Any]) -> StepFields:
    scale = transform.get('scale')
    if scale is None or transform.get('scale_factor') is not None:
        raise ValueError(f'Resize with {dict(transform)} is not known outside of OpenMMLab; give it scale=')
    width, height = (scale, scale) if isinstance(scale, int) else scale
    if transform.get('keep_ratio'):
        sides = {'long': max(width, height), 'short': min(width, height)}
        return {'op': 'resize_within', **sides, **_filter(transform)}
    return {'op': 'resize', 'height': height, 'width': width, **_filter(transform)}


def _center_crop(transform: Mapping[str, Any]) -> StepFields:
    size = transform['crop_size']
    width, height = (size, size) if isinstance(size, int) else size
    if transform.get('auto_pad'):
        raise ValueError('CenterCrop with auto_pad=True is not known outside of OpenMMLab')
    return center_crop(height, width, None)


def _efficientnet_crop(transform: Mapping[str, Any]) -> StepFields:
    padding = transform.get('crop_padding', 32)
    return {
        'op': 'crop_resize',
        'size': transform['crop_size'],
        'padding': padding,
        **_filter(transform, 'bicubic'),
    }


_TRANSFORMS = {
    'ResizeEdge': _resize_edge,
    'Resize': _resize,
    'CenterCrop': _center_crop,
    'EfficientNetCenterCrop': _efficientnet_crop,
}
