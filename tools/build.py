# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Build a cascade from members and images, and judge it.

A member is a name in a zoo, a config with its checkpoint, timm/NAME, torchvision/NAME, hf-hub:ORG/NAME or a folder of
Hugging Face, each optionally with a checkpoint of your own behind it. Their order does not matter: the cheap one runs
first. Half of the images calibrates the cascade, the other half is reported on.

Example: mmcascade build small.py small.pth timm/resnet50 mine.pth --data photos --target risk=0.05 --out my_cascade
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmcascade._system.extras import needed_by
from mmcascade.engine.console.arguments import Subparsers, command, whole_number
from mmcascade.engine.console.commands import main


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    made = command('build', __doc__, run, subparsers)
    made.add_argument('members', nargs='+', metavar='MEMBER [CHECKPOINT]', help='two members or more')
    made.add_argument(
        '--data',
        required=True,
        help='labelled images that no member was trained on: a folder with a folder per class, or a list of paths and '
        'labels (.csv, .txt)',
    )
    made.add_argument(
        '--target',
        required=True,
        help='what to reach: risk=0.05 (errors among the accepted), coverage=0.8 (share accepted), accuracy=0.93 at '
        'the lowest cost, or macs=300M (mean per image) at the best accuracy',
    )
    made.add_argument(
        '--task',
        choices=('classification', 'segmentation'),
        default='classification',
        help='segmentation: --data is a folder with images/ and masks/, and --target is miou=0.7, iou[CLASS]=0.6, '
        'macs=3e10, deferred=0.3, risk=0.1 or coverage=0.8 (default: classification)',
    )
    made.add_argument(
        '--search',
        action='store_true',
        help='choose: which members in which order, each on its own view or on that of another, with which windows '
        '(default: all members, cheap first)',
    )
    made.add_argument(
        '--cost',
        choices=('macs', 'time'),
        default='macs',
        help='what members cost: multiply-adds, or milliseconds that are measured on this machine (default: macs)',
    )
    made.add_argument('--out', type=Path, default=Path('cascade'), help='folder to write (default: cascade)')
    made.add_argument(
        '--certify',
        type=float,
        metavar='DELTA',
        help='promise the risk for unseen images, except with probability DELTA',
    )
    made.add_argument(
        '--fraction', type=float, default=0.5, help='share of the images that is calibrated on (default 0.5)'
    )
    made.add_argument('--seed', type=int, default=0, help='of that draw (default 0)')
    made.add_argument(
        '--cell',
        type=whole_number,
        metavar='SIDE',
        help='segmentation: side of the cells in pixels (default: by the size of the images, at most 512)',
    )
    made.add_argument('--margin', type=int, default=0, metavar='PIXELS', help='segmentation: context around a cell')
    made.add_argument('--batch-size', type=whole_number, default=32, help='images at a time (default 32)')
    made.add_argument('--workers', type=int, default=0, help='processes that read images (default 0: this one)')
    return made


def run(args: argparse.Namespace) -> None:
    from mmcascade.calibration.fit.request import CalibrationRequest

    calibration = CalibrationRequest(args.target, certify=args.certify)
    with needed_by('mmcascade build'):
        from mmcascade.comparison.build.build import build
        from mmcascade.comparison.build.config import Loading
        from mmcascade.comparison.build.report import show
        from mmcascade.comparison.build.request import BuildRequest

    loading = Loading(args.batch_size, args.workers, args.fraction, args.seed)
    asked = (tuple(args.members), args.data, args.out, calibration, loading, args.search, args.cost)
    if args.task == 'classification':
        for flag in ('cell', 'margin'):
            if getattr(args, flag):
                raise ValueError(f'--{flag} is for --task segmentation')
        show(build(BuildRequest(*asked), _say))
        return
    with needed_by('mmcascade build --task segmentation'):
        from mmcascade.comparison.build.segmentation.build import build_segmentor
        from mmcascade.comparison.build.segmentation.request import SegBuildRequest

    show(build_segmentor(SegBuildRequest(*asked, cell=args.cell, margin=args.margin), _say))


def _say(line: str) -> None:
    from mmcascade._system.tables import print_lines

    print_lines([line])


if __name__ == '__main__':
    main(parser)
