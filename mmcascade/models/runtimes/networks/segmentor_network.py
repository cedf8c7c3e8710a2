# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The class scores of a segmentor for raw images, at their own size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.segmentors import EncoderDecoder
from mmseg.structures import SegDataSample
from torch import Tensor, nn
from torch.nn import functional

from mmcascade.models.cells.grid import Size
from mmcascade.models.runtimes.networks.batch_preprocessing import batch_padding, padded_to, preprocessed_batch
from mmcascade.models.runtimes.networks.network import Network, Prepared
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


def segmentor_gives_logits(module: nn.Module) -> bool:
    """Whether its scores are logits, else they become probabilities by dividing them by their sum."""
    return not any(base.__name__ in _MASK_HEADS for base in type(module.decode_head).__mro__)


class SegmentorNetwork(Network):
    """A segmentor as a function of raw images, by its own preprocessing and test mode ('whole' or 'slide').

    Its scores are maps ``(N, C, H, W)`` at the size of the images, without the padding that the preprocessor may have
    added.

    Args:
        module: an mmseg segmentor in eval mode.
    """

    maps = True
    module: Any  # a segmentor of mmseg, which has no types

    @property
    def classes(self) -> int:
        """How many there are."""
        return int(self.module.out_channels)

    @property
    def gives_logits(self) -> bool:
        """Whether the outputs are logits, and not probabilities."""
        return segmentor_gives_logits(self.module)

    def prepare(self, images: Tensor) -> Prepared:
        """What the member's own preprocessing makes of images."""
        # Preprocessors write their padding into samples, and some insist on having them.
        given = dict(inputs=list(images), data_samples=[SegDataSample() for _ in range(len(images))])
        data = self.module.data_preprocessor(given, False)
        meta = data['data_samples'][0].metainfo
        padding = meta.get('img_padding_size', meta.get('padding_size', (0, 0, 0, 0)))
        return Prepared(data['inputs'], tuple(padding))

    def values(self, inputs: Tensor) -> Tensor:
        """What the network gives for prepared images."""
        return decode(self.module, inputs)

    def output(self, values: Tensor, prepared: Prepared) -> StageOutput:
        """Its values as the output of a stage."""
        left, right, top, bottom = prepared.padding
        height, width = values.shape[-2:]
        values = values[..., top : height - bottom, left : width - right]
        if self.gives_logits:
            return StageOutput(logits=values)
        values = values.float()
        return StageOutput(probabilities=values / values.sum(1, keepdim=True))

    def graph_values(self, images: Tensor) -> Tensor:
        """As the base class says.

        Raises:
            ValueError: if the data preprocessor is one that is not known to :func:`preprocessed_batch`.
        """
        height, width = images.shape[-2:]
        scores = self.values(preprocessed_batch(self.module, images))[..., :height, :width].float()
        return scores if self.gives_logits else scores / scores.sum(1, keepdim=True)


@dataclass(frozen=True)
class HeadOutput(StageOutput):
    """Logits at the resolution of a head.

    Args:
        inputs: size of what the network was given.
        padding: how much of that is padding, on the left, right, top and bottom.
        align_corners: whether they are enlarged with this.
    """

    inputs: Size = (0, 0)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    align_corners: bool = False


class HeadNetwork(SegmentorNetwork):
    """A segmentor that is run up to the map of its head, where MMSegmentation would only enlarge it after that.

    Members whose heads do more, test in windows or compute in half precision in torch, in which enlarging rounds, give
    scores at the size of the images, as all do that are compiled.
    """

    def run(self, prepared: Prepared) -> StageOutput:
        """As the base class says."""
        if not ends_with_enlarging(self.module):
            return super().run(prepared)
        size, head = _size(prepared.inputs), self.module.decode_head
        values = self._head_values(prepared.inputs)
        if values.dtype != torch.float32 or not values.is_contiguous():
            values = functional.interpolate(values, size, mode='bilinear', align_corners=head.align_corners)
            return self.output(values, prepared)
        return self._head_output(values, size, prepared.padding)

    def graph_values(self, images: Tensor) -> Tensor:
        """As the base class says."""
        if not ends_with_enlarging(self.module):
            return super().graph_values(images)
        return self._head_values(preprocessed_batch(self.module, images)).float()

    def graph_reference(self, images: Tensor) -> Tensor:
        """As the base class says."""
        if not ends_with_enlarging(self.module):
            return super().graph_reference(images)
        return self._head_values(self.prepare(images).inputs)

    def graph_output(self, values: Tensor, size: Size) -> StageOutput:
        """As the base class says."""
        if not ends_with_enlarging(self.module):
            return super().graph_output(values, size)
        left, right, top, bottom = padding = batch_padding(self.module, size)
        return self._head_output(values, (size[0] + top + bottom, size[1] + left + right), padding)

    def _head_values(self, inputs: Tensor) -> Tensor:
        return self.module.decode_head.forward(self.module.extract_feat(inputs))

    def _head_output(self, values: Tensor, inputs: Size, padding: tuple[int, int, int, int]) -> HeadOutput:
        align_corners = self.module.decode_head.align_corners
        return HeadOutput(logits=values, inputs=inputs, padding=padding, align_corners=align_corners)


def mode_of(module: Any) -> str:
    """How a segmentor is tested, in words: all that its config says of it and that changes what it gives."""
    test_cfg, goal = module.test_cfg or {}, padded_to(module)
    mode = str(test_cfg.get('mode', 'whole'))
    if mode == 'slide':
        mode = f'in windows of {_by(test_cfg["crop_size"])} at steps of {_by(test_cfg["stride"])}'
    if goal == 1:
        return mode
    return f'{mode}, padded to ' + (_by(goal) if isinstance(goal, tuple) else f'multiples of {goal}')


def _by(size: Sequence[int]) -> str:
    return ' x '.join(map(str, size))


def _size(images: Tensor) -> Size:
    return images.shape[-2], images.shape[-1]


def ends_with_enlarging(module: Any) -> bool:
    """Whether a segmentor's scores of an image are those of its head, enlarged by MMSegmentation's own last step."""
    head, test_cfg = module.decode_head, module.test_cfg or {}
    return (
        test_cfg.get('mode', 'whole') == 'whole'
        and type(module).encode_decode is EncoderDecoder.encode_decode
        and type(head).predict is BaseDecodeHead.predict
        and type(head).predict_by_feat is BaseDecodeHead.predict_by_feat
    )


def decode(module: Any, inputs: Tensor) -> Tensor:
    """Class scores of preprocessed images ``(N, 3, H, W)`` in the member's own test mode, ``(N, C, H, W)``."""
    test_cfg = module.test_cfg or {}
    if test_cfg.get('mode', 'whole') == 'slide':
        return _slide(module, inputs, tuple(test_cfg['crop_size']), tuple(test_cfg['stride']))
    return _whole(module, inputs)


def _whole(module: Any, inputs: Tensor) -> Tensor:
    # Heads enlarge their scores to one of these shapes, and differ in which.
    shape = inputs.shape[2:]
    meta = dict(ori_shape=shape, img_shape=shape, pad_shape=shape, padding_size=[0, 0, 0, 0])
    rows = inputs.shape[0]
    count = rows if isinstance(rows, int) else 1  # a symbol while a graph is written; heads read the first
    return module.encode_decode(inputs, [dict(meta) for _ in range(count)])


def _slide(module: Any, inputs: Tensor, crop: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """What mmseg's ``slide_inference`` gives, bit for bit, without a map of the whole image for every window."""
    height, width = inputs.shape[2:]
    total = inputs.new_zeros(inputs.shape[0], module.out_channels, height, width)
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
