# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Composed street-like canvases with garments of Fashion-MNIST."""

from __future__ import annotations

from mmseg.datasets import CityscapesDataset

from mmcascade.registry import DATASETS


@DATASETS.register_module()
class ComposedFashionDataset(CityscapesDataset):
    """Canvases that ``tools/dataset_converters/fashion_mnist_canvases.py`` composes, in Cityscapes' layout.

    The classes are the background and the ten garments of Fashion-MNIST (Xiao et al. 2017), in its order.

    Example:
        ``dataset=dict(type='mmcascade.ComposedFashionDataset', data_root='data/composed_fashion',
        data_prefix=dict(img_path='leftImg8bit/test', seg_map_path='gtFine/test'), pipeline=...)``
    """

    METAINFO = dict(
        classes=(
            'background',
            't-shirt',
            'trouser',
            'pullover',
            'dress',
            'coat',
            'sandal',
            'shirt',
            'sneaker',
            'bag',
            'ankle boot',
        ),
        palette=[
            [60, 60, 60],
            [220, 20, 60],
            [0, 0, 142],
            [119, 11, 32],
            [250, 170, 30],
            [0, 80, 100],
            [152, 251, 152],
            [244, 35, 232],
            [0, 170, 230],
            [220, 220, 0],
            [107, 142, 35],
        ],
    )
