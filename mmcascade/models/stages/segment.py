# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The class scores of a segmentor for raw images, at their own size."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmcascade.models.runtimes.compiled_network import CompiledNetwork
from mmcascade.routing import StageOutput

# Their decode heads sum the probabilities of mask classes over masks: scores of classes, but no logits.
_MASK_HEADS = ('MaskFormerHead', 'Mask2FormerHead')


def no_segmentor(module: nn.Module) -> str | None:
    """Why a model does not give one distribution over classes per pixel, or None if it may well do."""
    if not hasattr(module, 'encode_decode') or not hasattr(module, 'decode_head'):
        return f'{type(module).__name__} labels no pixels; a CascadeSegmentor takes segmentors such as EncoderDecoder'
    if getattr(module, 'out_channels', None) == 1:
        return (
            f'{type(module).__name__} tells one class from the rest by a single sigmoid output; train it with '
            'num_classes=2 and out_channels=2'
        )
    return None


def gives_logits(module: nn.Module) -> bool:
    """Whether its scores are logits, else they become probabilities by dividing them by their sum."""
    return not any(base.__name__ in _MASK_HEADS for base in type(module.decode_head).__mro__)


def segment(
    module: nn.Module,
    images: Tensor,
    precision: AbstractContextManager | None = None,
    channels_last: bool = False,
    compiled: CompiledNetwork | None = None,
) -> StageOutput:
    """Class scores of raw images by the member's own preprocessing and test mode ('whole' or 'slide').

    Args:
        module: an mmseg segmentor in eval mode.
        images: raw ``(N, 3, H, W)``.
        precision: context for the network, such as autocast.
        channels_last: the memory order of the preprocessed images.
        compiled: :func:`decode` of this module, compiled; None = it runs as it is.

    Returns:
        ``(N, C, H, W)``, without the padding that the preprocessor may have added.
    """
    # Preprocessors write their padding into samples, and some insist on having them.
    given = dict(inputs=list(images), data_samples=[SegDataSample() for _ in range(len(images))])
    data = module.data_preprocessor(given, False)
    inputs: Tensor = data['inputs']
    if channels_last:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    with precision or nullcontext():
        scores = decode(module, inputs) if compiled is None else compiled(inputs)
    meta = data['data_samples'][0].metainfo
    left, right, top, bottom = meta.get('img_padding_size', meta.get('padding_size', (0, 0, 0, 0)))
    height, width = scores.shape[-2:]
    scores = scores[..., top : height - bottom, left : width - right]
    if gives_logits(module):
        return StageOutput(logits=scores)
    scores = scores.float()
    return StageOutput(probabilities=scores / scores.sum(1, keepdim=True))


def decode(module: nn.Module, inputs: Tensor) -> Tensor:
    """Class scores of preprocessed images ``(N, 3, H, W)`` in the member's own test mode, ``(N, C, H, W)``."""
    test_cfg = module.test_cfg or {}
    if test_cfg.get('mode', 'whole') == 'slide':
        return _slide(module, inputs, tuple(test_cfg['crop_size']), tuple(test_cfg['stride']))
    return _whole(module, inputs)


def _whole(module: nn.Module, inputs: Tensor) -> Tensor:
    # Heads enlarge their scores to one of these shapes, and differ in which.
    shape = inputs.shape[2:]
    meta = dict(ori_shape=shape, img_shape=shape, pad_shape=shape, padding_size=[0, 0, 0, 0])
    return module.encode_decode(inputs, [dict(meta) for _ in range(len(inputs))])


def _slide(module: nn.Module, inputs: Tensor, crop: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """What mmseg's ``slide_inference`` gives, bit for bit, without a map of the whole image for every window."""
    height, width = inputs.shape[2:]
    total = inputs.new_zeros(len(inputs), module.out_channels, height, width)
    count = inputs.new_zeros(1, 1, height, width)
    for top in _starts(height, crop[0], stride[0]):
        for left in _starts(width, crop[1], stride[1]):
            window = (..., slice(top, top + crop[0]), slice(left, left + crop[1]))
            total[window] += _whole(module, inputs[window])
            count[window] += 1
    return total.div_(count)


def _starts(whole: int, crop: int, stride: int) -> list[int]:
    number = max(whole - crop + stride - 1, 0) // stride + 1
    return [max(min(k * stride + crop, whole) - crop, 0) for k in range(number)]
