# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The quickstart's test-time augmentation as a cascade.

One member on four views, all of them or as few as the decision needs. Fetches the data, trains the member if it is not
there, fits on the calibration split, measures on the test split, and writes self_cascade.json.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from mmcascade.engine.console.arguments import Subparsers, command
from mmcascade.engine.console.commands import main, resource_root
from mmcascade.engine.console.configs import read_config


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    made = command('quickstart_views', __doc__, run, subparsers)
    made.add_argument('--work-dir', type=Path, default=Path('work_dirs/quickstart/views'), help='gets the results')
    made.add_argument(
        '--data', type=Path, default=Path('data/fashion_mnist'), help='folder of the data, fetched if it is not there'
    )
    return made


def run(args: argparse.Namespace) -> None:
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    configs = resource_root() / 'configs' / 'quickstart'
    cfg = read_config(configs / 'self_cascade.py')

    from mmcascade.datasets.quickstart.fashion_mnist import fetch_fashion_mnist
    from mmcascade.demo.members import trained
    from mmcascade.demo.self_cascade import run_self_cascade, views_table
    from mmcascade.engine.console.progress import timed_say

    say = timed_say('quickstart_views')
    fetch_fashion_mnist(args.data)
    trained(configs / 'augmented.py', Path(cfg.model.members.augmented.checkpoint), say)
    args.work_dir.mkdir(parents=True, exist_ok=True)
    views_table(run_self_cascade(cfg, args.work_dir, say)).show()
    say(f'done; see {args.work_dir}/self_cascade.json')


if __name__ == '__main__':
    main(parser)
