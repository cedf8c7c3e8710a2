# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What it costs that a test makes the views of later members for images that never get there.

    python benchmarks/views/later_views.py [--json F] [--quick]

Two members with views of their own (224 and 260 pixels, from JPEG files of 500 x 375), one in five images going on.
The data pipeline of a test makes both views of every image ('both'), since it runs before anything is decided;
`mmcascade predict` and `mmcascade.Cascade` make the second one for the images that get there ('on demand').
'prepare_ms' is reading, decoding and making views, in milliseconds per image in one process; 'members_ms' is both
members, which is the same either way; 'share' is what 'both' adds to the sum of the two. The weights are random, which
costs the same time.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmcv.transforms import Compose
from mmengine.registry import DefaultScope
from torch import Tensor

from mmcascade.models.members.members import build_member

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]
from common import arguments, report
from device_views import best_times, crop, write_jpegs

SIDES = (224, 260)
#: Every so many-th image goes on.
EVERY = 5


def prepare(files: Sequence[Path], views: Sequence[Compose], every: int) -> list[list[Tensor]]:
    """The first view of all images, and the second one of every so many-th."""
    load, first, second = views
    made: list[list[Tensor]] = [[], []]
    for number, file in enumerate(files):
        image = load(dict(img_path=str(file)))
        made[0].append(_pixels(first(dict(image))))
        if number % every == 0:
            made[1].append(_pixels(second(dict(image))))
    return made


def _pixels(results: dict[str, Any]) -> Tensor:
    return torch.from_numpy(results['img'].transpose(2, 0, 1).copy())


@torch.no_grad()
def run_members(members: Sequence[Any], images: Sequence[Tensor], batch_size: int) -> None:
    for member, pixels in zip(members, images, strict=True):
        for batch in pixels.split(batch_size):
            member(member.data_preprocessor(dict(inputs=list(batch)))['inputs'], mode='tensor')


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('--quick', action='store_true', help='a few images, to see that it runs')
    parser.add_argument('--models', nargs=2, default=['mobilenet-v2_8xb32_in1k', 'resnet50_8xb32_in1k'])
    parser.add_argument('--images', type=int, default=60)
    parser.add_argument('--batch-size', type=int, default=8)
    parser.add_argument('--repeats', type=int, default=5)
    args = parser.parse_args()
    if args.quick:
        args.images, args.repeats = 10, 1
    with DefaultScope.overwrite_default_scope('mmpretrain'), tempfile.TemporaryDirectory() as folder:
        write_jpegs(Path(folder), args.images)
        files = sorted(Path(folder, 'images').iterdir())
        views = [Compose([dict(type='LoadImageFromFile')]), *(Compose(crop(side)) for side in SIDES)]
        members = [build_member(name, name).module.eval() for name in args.models]
        images = [torch.stack(each) for each in prepare(files, views, EVERY)]
        seconds = best_times(
            {
                ('both', ''): partial(prepare, files, views, 1),
                ('on demand', ''): partial(prepare, files, views, EVERY),
                ('members', ''): partial(run_members, members, images, args.batch_size),
            },
            args.repeats,
        )
    taken = {name: 1e3 * value / args.images for (name, _), value in seconds.items()}
    least = taken['on demand'] + taken['members']
    report(
        [
            dict(
                views=name,
                prepare_ms=taken[name],
                members_ms=taken['members'],
                share=(taken[name] - taken['on demand']) / least,
                models=' -> '.join(args.models),
                batch_size=args.batch_size,
            )
            for name in ('both', 'on demand')
        ],
        args.json,
    )


if __name__ == '__main__':
    main()
