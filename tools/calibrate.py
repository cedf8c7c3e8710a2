# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Fit the windows and accept threshold of a cascade.

They are fitted on its calibration split (val_dataloader), together with temperatures and score maps where these are
asked for. Example: mmcascade calibrate CONFIG work_dirs/calibration.json --target risk=0.05

Then set model.calibration to that file and test.
"""

from __future__ import annotations

import argparse

from mmcascade.engine.console.arguments import Subparsers, add_amp, add_config, add_runtime, command
from mmcascade.engine.console.commands import main
from mmcascade.engine.console.configs import read_config


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    """The arguments of the command; what a calibration can be asked for has its defaults in CalibrationRequest."""
    made = command('calibrate', __doc__, run, subparsers)
    add_config(made)
    made.add_argument('out', help='the calibration file to write (.json); a picture is put beside it (.png)')
    made.add_argument(
        '--target',
        required=True,
        help='what to reach on the calibration split. By windows around the '
        'decision to accept: risk=0.05 (share of errors among the accepted), coverage=0.8 (share '
        'accepted) or tpr=0.95. By one-sided thresholds: accuracy=0.93 at the lowest cost, macs=300M '
        '(mean per image) at the best accuracy, deferred=0.2 (share that goes on in each gap), or '
        'exits=0.5 (how many times as many leave at an exit as at the one before). '
        'Segmentation cascades take miou=0.7, iou[person]=0.6 (of one class, by name or number), macs= and deferred=',
    )
    made.add_argument(
        '--max-cells',
        default=argparse.SUPPRESS,
        type=int,
        metavar='K',
        help='let at most K cells of an image go on after stage '
        '0 of a segmentation cascade, which bounds the cost of the worst image',
    )
    made.add_argument(
        '--windows',
        default=argparse.SUPPRESS,
        choices=['one-sided', 'two-sided'],
        help='which cells of a segmentation cascade go on: the least confident ones (default), or those between two '
        'bounds, so that cells that the next stage does not help stay',
    )
    made.add_argument(
        '--accept',
        default=argparse.SUPPRESS,
        help='what the accept threshold should reach, where the target does not say it: risk=, coverage= or tpr=',
    )
    made.add_argument(
        '--half-width',
        default=argparse.SUPPRESS,
        type=float,
        help='share of the units of a gap in its window on each side of tau (default 0.10)',
    )
    made.add_argument(
        '--rule',
        default=argparse.SUPPRESS,
        choices=['safe', 'paper'],
        help='how tau is placed: meet the target on the calibration split, or the point nearest to it as in the paper',
    )
    made.add_argument(
        '--fit-on',
        default=argparse.SUPPRESS,
        choices=['reached', 'all'],
        help="whose scores the width of a gap's window "
        'is measured on: the units that reach the gap, or all, as in the paper',
    )
    made.add_argument(
        '--temperatures',
        default=argparse.SUPPRESS,
        choices=['auto', 'fit', 'none'],
        help='one temperature per stage: fit it where that is worth more than its noise (default), always, or never',
    )
    made.add_argument(
        '--maps',
        default=argparse.SUPPRESS,
        choices=['none', 'isotonic'],
        help='fit one monotone map per exit from score to '
        'probability of being right, so that scores of different exits compare',
    )
    made.add_argument(
        '--certify',
        default=argparse.SUPPRESS,
        type=float,
        metavar='DELTA',
        help='promise the risk for unseen images, except '
        'with probability DELTA; on a part of the calibration split that nothing else is fitted on',
    )
    made.add_argument('--certify-share', default=argparse.SUPPRESS, type=float, help='that part (default 0.7)')
    made.add_argument('--seed', default=argparse.SUPPRESS, type=int, help='of the draw of that part')
    made.add_argument(
        '--adjust-on',
        default=argparse.SUPPRESS,
        metavar='KEY',
        help='re-centre the window of gap 0 on the images of this '
        'dataloader of the config, such as test_dataloader; their labels are not used',
    )
    made.add_argument(
        '--adapt',
        default=argparse.SUPPRESS,
        type=int,
        metavar='N',
        help='re-centre the window of gap 0 at run time on the last N images; results then depend on their order',
    )
    made.add_argument(
        '--store',
        help='folder for the scores of all stages (default: OUT.store beside OUT.json); '
        'an interrupted run continues there',
    )
    made.add_argument(
        '--tta',
        action='store_true',
        help='calibrate the cascade of tools/test.py --tta, which may stop between two augmentations',
    )
    add_amp(made)
    add_runtime(made)
    return made


def run(args: argparse.Namespace) -> None:
    """Calibrate."""
    if not args.out.endswith('.json'):
        raise ValueError(f'the calibration file ends with .json, got {args.out}')

    from dataclasses import fields

    from mmcascade._system.tables import print_lines
    from mmcascade.calibration.fit.request import CalibrationRequest
    from mmcascade.calibration.fit.result.summary import summary_lines

    asked = [field.name for field in fields(CalibrationRequest)]
    request = CalibrationRequest(**{name: getattr(args, name) for name in asked if hasattr(args, name)})
    cfg = read_config(args.config, args.cfg_options)

    from mmcascade.engine.configs.runtimes import set_runtime
    from mmcascade.engine.configs.tta import repeat_stages
    from mmcascade.engine.console.worth import show_worth
    from mmcascade.engine.runs.calibration import run_calibration

    set_runtime(cfg, args.runtime, args.amp)
    if args.tta:
        repeat_stages(cfg, [split for split in ('val_dataloader', 'test_dataloader') if cfg.get(split)])
    made = run_calibration(cfg, request, args.out, args.store, amp=args.amp)
    print_lines([args.out, *summary_lines(made.calibration), str(made.picture)])
    images = 'held-out images' if made.held is not None else 'calibration images'
    show_worth(made.worth(), images + (', cells cut out one by one' if 'joined' in made.calibration.measured else ''))


if __name__ == '__main__':
    main(parser)
