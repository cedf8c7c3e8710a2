# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Views made on the device against views made by the pipeline: throughput from JPEG files.

    python benchmarks/views/device_views.py [--json F] [--quick]

A self-cascade (two sizes) and a test-time-augmentation cascade (two sizes, each mirrored) of one network run over JPEG
files of 500 x 375 pixels, with a fixed share of the images going on in the first gap, and everybody after it. Either
the pipeline makes all views of all images, or it makes the largest one, from which the stages take theirs.

'loader' is the pipeline alone, in images per second: what bounds the throughput where members run on a fast device.
'all' is the whole test loop. The weights are random, which costs the same time. How far scores move is measured by
view_agreement.py.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.registry import DATASETS, DefaultScope
from mmengine.runner import Runner

from mmcascade.models.members.members import build_member
from mmcascade.registry import MODELS

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, report

SMALL, LARGE = 160, 224
DEFERRED = 0.2
FLIP = dict(type='RandomFlip', prob=1.0)

Config = dict[str, Any]


def crop(size: int) -> list[Config]:
    return [
        dict(type='ResizeEdge', scale=round(size * 8 / 7), edge='short', backend='pillow', interpolation='bicubic'),
        dict(type='CenterCrop', crop_size=size),
    ]


def pipeline(views: list[list[Config]]) -> list[Config]:
    return [
        dict(type='LoadImageFromFile'),
        dict(type='MultiView', num_views=[1] * len(views), transforms=views),
        dict(type='PackInputs'),
    ]


#: Per cascade and place: the pipeline's views, and what each stage takes from them.
CASCADES: dict[str, dict[str, tuple[list[list[Config]], list[Config]]]] = {
    f'{SMALL} -> {LARGE}': {
        'pipeline': ([crop(SMALL), crop(LARGE)], [dict(view=0), dict(view=1)]),
        'device': ([crop(LARGE)], [dict(resize=SMALL), dict()]),
    },
    f'{SMALL}, {LARGE}, both mirrored': {
        'pipeline': (
            [crop(SMALL), [*crop(SMALL), FLIP], crop(LARGE), [*crop(LARGE), FLIP]],
            [dict(view=k) for k in range(4)],
        ),
        'device': ([crop(LARGE)], [dict(resize=SMALL), dict(resize=SMALL, flip=True), dict(), dict(flip=True)]),
    },
}


def write_jpegs(folder: Path, count: int) -> None:
    """Pictures with structure at several scales, of the size and about the bytes of ImageNet's."""
    generator = np.random.default_rng(0)
    (folder / 'images').mkdir(parents=True)
    for number in range(count):
        coarse = cv2.resize(generator.uniform(0, 200, (9, 12, 3)), (500, 375), interpolation=cv2.INTER_CUBIC)
        image = (coarse + generator.normal(20, 12, coarse.shape)).clip(0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / 'images' / f'{number:05d}.jpg'), image, [cv2.IMWRITE_JPEG_QUALITY, 90])
    (folder / 'labels.txt').write_text(''.join(f'{number:05d}.jpg 0\n' for number in range(count)))


def loader_of(dataset: Config, views: list[list[Config]], batch_size: int, workers: int) -> Any:
    return Runner.build_dataloader(
        dict(
            batch_size=batch_size,
            num_workers=workers,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='default_collate'),
            dataset=DATASETS.build(dict(dataset, pipeline=pipeline(views))),
        )
    )


def cascade(member: torch.nn.Module, stages: list[Config], device: str) -> Any:
    rates = [DEFERRED, *[1.0] * (len(stages) - 2)]
    return MODELS.build(
        dict(
            type='mmcascade.WindowCascadeClassifier',
            members=dict(net=member),
            stages=[dict(member='net', **stage) for stage in stages],
            policy=dict(type='mmcascade.RandomPolicy', rates=rates),
        )
    ).to(device)


def throughput(
    member: torch.nn.Module, folder: Path, images: int, batch_size: int, workers: int, device: str, repeats: int
) -> list[Config]:
    write_jpegs(folder, images)
    dataset = dict(type='CustomDataset', data_root=str(folder), ann_file='labels.txt', data_prefix='images')
    rows = []
    for name, places in CASCADES.items():
        runs: dict[tuple[str, str], Callable[[], Any]] = {}
        for place, (views, stages) in places.items():
            model, loader = cascade(member, stages, device), loader_of(dataset, views, batch_size, workers)
            runs[place, 'loader'] = partial(deque, loader, maxlen=0)
            runs[place, 'all'] = partial(test, model, loader)
        speeds = {key: images / seconds for key, seconds in best_times(runs, repeats).items()}
        rows += [
            dict(
                cascade=name,
                views=place,
                loader=speeds[place, 'loader'],
                all=speeds[place, 'all'],
                loader_gain=speeds[place, 'loader'] / speeds['pipeline', 'loader'],
                gain=speeds[place, 'all'] / speeds['pipeline', 'all'],
            )
            for place in places
        ]
    return rows


def test(model: Any, loader: Any) -> None:
    for batch in loader:
        model.test_step(batch)


def best_times(runs: dict[tuple[str, str], Callable[[], Any]], repeats: int) -> dict[tuple[str, str], float]:
    """Seconds of each, by turns, so that a busy moment of the machine does not hit one of them only."""
    times: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
    for _ in range(repeats + 1):
        for key, run in runs.items():
            start = time.perf_counter()
            run()
            times[key].append(time.perf_counter() - start)
    return {key: min(seconds[1:]) for key, seconds in times.items()}  # the first round warms up


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('--quick', action='store_true', help='a few images, to see that it runs')
    parser.add_argument('--model', default='resnet18_8xb32_in1k', help='name in the model zoo')
    parser.add_argument('--images', type=int, default=256)
    parser.add_argument('--batch-size', type=int, default=32)
    parser.add_argument('--workers', type=int, default=0, help='of the data loader')
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    args = parser.parse_args()
    if args.quick:
        args.images, args.batch_size, args.repeats = 8, 4, 1
    with DefaultScope.overwrite_default_scope('mmpretrain'), tempfile.TemporaryDirectory() as folder:
        member = build_member('net', args.model).module
        rows = [
            dict(row, model=args.model, device=args.device, batch_size=args.batch_size, workers=args.workers)
            for row in throughput(
                member, Path(folder), args.images, args.batch_size, args.workers, args.device, args.repeats
            )
        ]
    report(rows, args.json)


if __name__ == '__main__':
    main()
