# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A folder with images, annotations, members and a config of a segmentation cascade, all tiny and real."""

from __future__ import annotations

import shutil
from pathlib import Path

import mmcv
import numpy as np
import torch
from mmengine.config import Config, ConfigDict

CLASSES = ('sky', 'road', 'car')
PALETTE = ((70, 130, 180), (128, 64, 128), (0, 0, 142))
IMAGE = (72, 110)

_MEMBER = dict(
    _scope_='mmseg',
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=[120.0] * 3, std=[60.0] * 3, bgr_to_rgb=True, pad_val=0, seg_pad_val=255
    ),
    backbone=dict(
        type='ResNet',
        depth=18,
        num_stages=2,
        strides=(1, 2),
        dilations=(1, 1),
        out_indices=(0, 1),
        norm_cfg=dict(type='BN'),
    ),
    decode_head=dict(
        type='FCNHead',
        in_index=1,
        channels=8,
        num_convs=1,
        num_classes=len(CLASSES),
        norm_cfg=dict(type='BN'),
        align_corners=False,
        dropout_ratio=0,
    ),
    test_cfg=dict(mode='whole'),
)


def member(width: int) -> ConfigDict:
    """The config of a segmentor with so many channels in its first layer."""
    config = ConfigDict(_MEMBER)
    config = config.copy()
    config.backbone = dict(config.backbone, base_channels=width, stem_channels=width)
    config.decode_head = dict(config.decode_head, in_channels=2 * width)
    return config


def build(width: int, seed: int) -> torch.nn.Module:
    from mmseg.registry import MODELS

    torch.manual_seed(seed)
    model = MODELS.build(member(width)).eval()
    torch.nn.init.normal_(model.decode_head.conv_seg.weight, std=2.0)
    return model


def write_project(folder: Path, images: dict[str, int] | None = None, **model: object) -> Config:
    """Images per split 'val' and 'test', two members with checkpoints, and the config of their cascade."""
    generator = np.random.default_rng(0)
    for split, count in (images or dict(val=4, test=4)).items():
        for number in range(count):
            coarse = generator.integers(0, 256, (6, 8, 3)).astype(np.uint8)
            image = mmcv.imresize(coarse, IMAGE[::-1])
            areas = generator.integers(0, 3, (4, 5)).astype(np.uint8)
            label = mmcv.imresize(areas, IMAGE[::-1], interpolation='nearest')
            label[generator.random(IMAGE) < 0.05] = 255
            mmcv.imwrite(image, str(folder / 'img' / split / f'{number}.png'))
            mmcv.imwrite(label, str(folder / 'ann' / split / f'{number}.png'))
    for name, width in (('small', 4), ('large', 8)):
        meta = dict(dataset_meta=dict(classes=CLASSES, palette=PALETTE))
        torch.save(dict(state_dict=build(width, width).state_dict(), meta=meta), folder / f'{name}.pth')
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=(88, 60)),
        dict(type='LoadAnnotations'),
        dict(
            type='PackSegInputs',
            meta_keys=(
                'img_path',
                'seg_map_path',
                'ori_shape',
                'img_shape',
                'scale_factor',
                'flip',
                'flip_direction',
                'sample_idx',
            ),
        ),
    ]

    def loader(split: str) -> dict:
        return dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dict(
                type='BaseSegDataset',
                data_root=str(folder),
                img_suffix='.png',
                metainfo=dict(classes=CLASSES, palette=PALETTE),
                data_prefix=dict(img_path=f'img/{split}', seg_map_path=f'ann/{split}'),
                pipeline=pipeline,
            ),
        )

    evaluator = [dict(type='IoUMetric', iou_metrics=['mIoU']), dict(type='mmcascade.CascadeCost')]
    return Config(
        dict(
            default_scope='mmseg',
            work_dir=str(folder / 'work'),
            test_pipeline=pipeline,
            model=dict(
                type='mmcascade.CascadeSegmentor',
                members=dict(
                    small=dict(model=member(4), checkpoint=str(folder / 'small.pth')),
                    large=dict(model=member(8), checkpoint=str(folder / 'large.pth')),
                ),
                stages=[dict(member='small'), dict(member='large')],
                grid=dict(cell=32, margin=4),
                **model,
            ),
            val_dataloader=loader('val'),
            val_cfg=dict(),
            val_evaluator=evaluator,
            test_dataloader=loader('test'),
            test_cfg=dict(),
            test_evaluator=evaluator,
        )
    )


_MEMBER_CONFIG = """
default_scope = 'mmseg'
model = {model!r}
test_pipeline = [
    dict(type='LoadImageFromFile'), dict(type='Resize', scale={scale}, keep_ratio=False),
    dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
test_dataloader = dict(batch_size=1, dataset=dict(
    type='BaseSegDataset', data_root='elsewhere', pipeline=test_pipeline))
"""


def write_segmentors(folder: Path, scales: tuple[tuple[int, int], ...] = ((88, 60), (88, 60))) -> list[str]:
    """The words of a command line: the dear member first, each a config with its checkpoint; their project is there."""
    words = []
    for name, width, scale in (('large', 8, scales[0]), ('small', 4, scales[1])):
        (folder / f'{name}.py').write_text(_MEMBER_CONFIG.format(model=member(width).to_dict(), scale=scale))
        words += [str(folder / f'{name}.py'), str(folder / f'{name}.pth')]
    return words


def write_images_and_masks(folder: Path) -> Path:
    """The images of both splits of a project, with their masks, as a user has them."""
    for split in ('val', 'test'):
        for image in sorted((folder / 'img' / split).iterdir()):
            for kind, source in (('images', image), ('masks', folder / 'ann' / split / image.name)):
                target = folder / 'data' / kind / f'{split}{image.name}'
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
    return folder / 'data'
