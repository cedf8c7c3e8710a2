# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The quickstart: a window cascade on Fashion-MNIST.

Fetches the data, trains three small members with MMPretrain, calibrates, tests every system as tools/test.py does, and
writes results.json and pictures. What is there already is used again, so an interrupted run continues.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from mmcascade.engine.console.arguments import Subparsers, add_cfg_options, command
from mmcascade.engine.console.commands import main, resource_root


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    made = command('quickstart', __doc__, run, subparsers)
    made.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/quickstart'), help='folder for everything that is made'
    )
    made.add_argument(
        '--data', type=Path, default=Path('data/fashion_mnist'), help='folder of the data, fetched if it is not there'
    )
    made.add_argument(
        '--ood-data',
        type=Path,
        default=Path('data/ood'),
        help='folder of the out-of-distribution sets, written if it is not there',
    )
    add_cfg_options(made)
    return made


def run(args: argparse.Namespace) -> None:
    # For networks this small several threads gain little, and on a busy machine they wait for each other.
    os.environ.setdefault('OMP_NUM_THREADS', '1')

    from mmcascade.demo.quickstart import Folders, quickstart, show
    from mmcascade.engine.console.progress import timed_say

    say = timed_say('quickstart')
    folders = Folders(args.work_dir, args.data, args.ood_data, resource_root() / 'configs')
    show(*quickstart(folders, args.cfg_options or (), say))
    say(f'done; see {args.work_dir}/results.json and the pictures beside it')


if __name__ == '__main__':
    main(parser)
