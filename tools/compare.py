# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Compare cascades and single models on the same images.

Each is the folder of a build or an export, the config of a calibrated cascade, or a member as build takes it. Ends with
one table with 95 % intervals, paired differences to the dearest system, and pictures with bands.

Example: mmcascade compare my_cascade timm/resnet50 mine.pth --data photos --out comparison
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmcascade._system.extras import needed_by
from mmcascade.engine.console.arguments import Subparsers, command, whole_number
from mmcascade.engine.console.commands import main


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    made = command('compare', __doc__, run, subparsers, interrupted='nothing was compared')
    made.add_argument('systems', nargs='+', metavar='SYSTEM [CHECKPOINT]', help='two systems or more')
    made.add_argument(
        '--data',
        required=True,
        help='labelled images that nothing was trained or calibrated on: a folder with a folder per class, or a list '
        'of paths and labels (.csv, .txt)',
    )
    made.add_argument('--out', type=Path, default=Path('comparison'), help='folder to write (default: comparison)')
    made.add_argument(
        '--target',
        default='risk=0.05',
        help='compare by coverage at a risk (risk=0.05, the default), by accuracy at a coverage (coverage=0.8), or by '
        'accuracy (accuracy=1)',
    )
    made.add_argument('--batch-size', type=whole_number, default=32, help='images at a time (default 32)')
    return made


def run(args: argparse.Namespace) -> None:
    with needed_by('mmcascade compare'):
        from mmcascade._system.tables import print_lines, with_interval
        from mmcascade.comparison.side_by_side.compare import compare
        from mmcascade.comparison.side_by_side.systems import open_systems
        from mmcascade.engine.console.progress import progress_bar
        from mmcascade.evaluation.standings.table import standings_table

    deciders = open_systems(args.systems)
    with progress_bar('deciding') as progress:
        made = compare(deciders, args.data, args.out, args.target, args.batch_size, progress)
    standings = made.standings
    print(f'\non {standings.units} images, with 95 % intervals:\n')
    standings_table(standings, made.reference).show()
    print(f'\n{standings.measure.name}, points against {made.reference}:')
    for name in standings.names:
        if name != made.reference:
            gap = standings.difference(name, made.reference)
            print(f'  {name}: {with_interval(gap.estimate, gap.low, gap.high, "+.1f", 100)}')
    print()
    print_lines([f'{args.out}: {", ".join(file.name for file in made.files)}'])


if __name__ == '__main__':
    main(parser)
