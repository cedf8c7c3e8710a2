# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Write a page to look at: one HTML file of finished runs.

A run is the folder of a build or of a comparison, or that of a calibration with its store beside it. The page holds
all that it shows and opens from disk: whether the cascade pays, sliders for risk and cost, images by exit, figures per
class.

Example: mmcascade report my_cascade --out report.html
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmcascade._system.extras import needed_by
from mmcascade.engine.console.arguments import Subparsers, command
from mmcascade.engine.console.commands import main


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    made = command('report', __doc__, run, subparsers, interrupted='no page was written')
    made.add_argument(
        'runs', nargs='+', type=Path, metavar='RUN', help='folder of build, compare or calibrate, or a calibration file'
    )
    made.add_argument('--out', type=Path, default=Path('report.html'), help='the page (default: report.html)')
    return made


def run(args: argparse.Namespace) -> None:
    with needed_by('mmcascade report'):
        from mmcascade.engine.runs.report import write_report

    print(write_report(args.runs, args.out))


if __name__ == '__main__':
    main(parser)
