# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Compare a segmentation cascade with its parts.

With its members, their ensemble, image-level and random deferral. The cascades are calibrated on val_dataloader for the
best mIoU within a budget, and every system is tested as tools/test.py does on test_dataloader. What is there already is
used again, so an interrupted run continues.

Example: mmcascade compare_segmentors configs/camvid/cascade.py --work-dir work_dirs/compare --cells 120 160
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmcascade.engine.console.arguments import Subparsers, add_config, command
from mmcascade.engine.console.commands import main
from mmcascade.engine.console.configs import read_config


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    made = command('compare_segmentors', __doc__, run, subparsers)
    add_config(made, 'config of a CascadeSegmentor with two stages')
    made.add_argument('--work-dir', type=Path, required=True, help='folder for everything that is made')
    made.add_argument(
        '--cells',
        nargs='*',
        default=[],
        help='further cells to try, such as 160 or 72x480 (height '
        'and width in pixels), or 72x480@2 where at most 2 cells of an image may go on',
    )
    made.add_argument(
        '--budget',
        type=float,
        default=0.75,
        help="multiply-adds of the cascades, as a share of the second member's on whole images (default 0.75)",
    )
    return made


def run(args: argparse.Namespace) -> None:
    cfg = read_config(args.config, args.cfg_options)

    from mmcascade.comparison.segmentation.comparison import SegmentorComparison
    from mmcascade.comparison.segmentation.table import show_results
    from mmcascade.engine.console.progress import timed_say

    say = timed_say('compare')
    show_results(SegmentorComparison(cfg, args.work_dir, args.cells, args.budget, say).run())
    say(f'done; see {args.work_dir}/results.json and the pictures beside it')


if __name__ == '__main__':
    main(parser)
