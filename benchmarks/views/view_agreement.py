# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How far the scores of a view made on the device are from those of the same view made by the pipeline.

    python benchmarks/views/view_agreement.py [--json F] [--quick]

Runs EfficientNet-Lite0 on labelled photos (by default those of `make demo-imagenet`): once on images that the pipeline
resizes and crops to each size, once on the same crop at 224 pixels that the stage shrinks to that size.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch
from device_views import Config, crop, loader_of, write_jpegs
from mmengine.registry import DefaultScope

from mmcascade.models.members.members import build_member
from mmcascade.registry import MODELS

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, report

SOURCE = 224
SIZES = (128, 160, 192)
LITE0 = dict(
    _scope_='mmpretrain',
    type='TimmClassifier',
    model_name='tf_efficientnet_lite0',
    pretrained=False,
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True),
)


@torch.no_grad()
def agreement(member: torch.nn.Module, dataset: Config) -> list[Config]:
    rows = []
    for small in SIZES:
        batch = next(iter(loader_of(dataset, [crop(small), crop(SOURCE)], 1000, 0)))
        labels = torch.tensor([int(sample.gt_label) for sample in batch['data_samples']])
        own, taken = (scores(member, stage, batch['inputs']) for stage in (dict(view=0), dict(view=1, resize=small)))
        rows.append(
            dict(
                size=small,
                source=SOURCE,
                photos=len(labels),
                same_label=float((own.argmax(1) == taken.argmax(1)).float().mean()),
                top1_pipeline=float((own.argmax(1) == labels).float().mean()),
                top1_device=float((taken.argmax(1) == labels).float().mean()),
                mean_change_of_max_prob=float((own.amax(1) - taken.amax(1)).abs().mean()),
            )
        )
    return rows


def scores(member: torch.nn.Module, stage: Config, views: list[torch.Tensor]) -> torch.Tensor:
    model = MODELS.build(
        dict(type='mmcascade.WindowCascadeClassifier', members=dict(net=member), stages=[dict(member='net', **stage)])
    )
    return torch.stack([sample.pred_score for sample in model.test_step(dict(inputs=views, data_samples=None))])


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('--quick', action='store_true', help='made-up pictures and random weights: shows the form')
    parser.add_argument('--photos', default='data/foolbox', help='folder in the form of ImageNet')
    parser.add_argument('--checkpoint', default='work_dirs/efficientnet-lite/lite0.pth')
    args = parser.parse_args()
    with DefaultScope.overwrite_default_scope('mmpretrain'), tempfile.TemporaryDirectory() as folder:
        if args.quick:
            write_jpegs(Path(folder), 4)
            dataset = dict(type='CustomDataset', data_root=folder, ann_file='labels.txt', data_prefix='images')
        else:
            dataset = dict(type='ImageNet', data_root=args.photos, split='val')
        member = build_member('lite0', LITE0, None if args.quick else args.checkpoint).module
        rows = agreement(member, dataset)
    report(rows, args.json)


if __name__ == '__main__':
    main()
