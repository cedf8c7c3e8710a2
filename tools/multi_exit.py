# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Compare the exits of one network, and cascades of them.

Each exit alone; windows, thresholds and random deferral at equal cost; other cascades beside them. Fetches
Fashion-MNIST, trains what is not there, fits on the calibration split, measures on the test split, and writes
results.json and a picture. Other data: give the config of a cascade of exits.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from mmcascade.engine.console.arguments import Subparsers, command
from mmcascade.engine.console.commands import main, resource_root
from mmcascade.engine.console.configs import read_config

DEFAULT = 'configs/multi_exit/cascade.py'


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    made = command('multi_exit', __doc__, run, subparsers)
    made.add_argument('config', nargs='?', default=DEFAULT, help='of a cascade of exits')
    made.add_argument(
        '--beside',
        action='append',
        default=[],
        metavar='CONFIG',
        help='a further cascade on the same images, such as configs/quickstart/cascade.py; may be given again',
    )
    made.add_argument('--work-dir', type=Path, default=Path('work_dirs/multi_exit'), help='gets the results')
    made.add_argument(
        '--data', type=Path, default=Path('data/fashion_mnist'), help='folder of the data of the default config'
    )
    return made


def run(args: argparse.Namespace) -> None:
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    from mmcascade._system.memory import keep_freed_memory
    from mmcascade.comparison.exits.comparison import ExitComparison, exits_table
    from mmcascade.datasets.quickstart.fashion_mnist import fetch_fashion_mnist
    from mmcascade.demo.members import trained
    from mmcascade.engine.console.progress import timed_say
    from mmcascade.engine.runs.training import last_checkpoint

    keep_freed_memory()
    say = timed_say('multi_exit')
    if args.config == DEFAULT:
        fetch_fashion_mnist(args.data)
    configs = {path: read_config(_found(path)) for path in (args.config, *args.beside)}
    for cfg in configs.values():
        for member in cfg.model.members.values():
            checkpoint = Path(member.checkpoint)
            if checkpoint.exists() and last_checkpoint(checkpoint.parent) is None:
                continue  # weights from elsewhere
            trained(_found(member.model), checkpoint, say)
    beside = {f'{Path(path).parent.name}/{Path(path).stem}': configs[path] for path in args.beside}
    results = ExitComparison().run(configs[args.config], args.work_dir, say, beside)
    exits_table(results).show()
    say(f'done; see {args.work_dir}/results.json and exits.png')


def _found(path: str) -> Path:
    """A config by its path, or as it is shipped."""
    return Path(path) if Path(path).exists() else resource_root() / path


if __name__ == '__main__':
    main(parser)
