# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Fit the windows, scores and accept threshold of a cascade on its calibration split (val_dataloader).

Example: tools/calibrate.py CONFIG work_dirs/calibration.json --target risk=0.05
Then set model.calibration to that file and test.
"""

from __future__ import annotations

import argparse
from dataclasses import fields

from mmengine.config import Config, DictAction

from mmcascade.calibration.fit.request import FIT_ON, MAPS, RULES, TEMPERATURES, CalibrationRequest
from mmcascade.calibration.fit.summary import summary_lines
from mmcascade.engine.configs.runtimes import set_runtime
from mmcascade.engine.configs.tta import repeat_stages
from mmcascade.engine.console.arguments import add_runtime
from mmcascade.engine.console.command_line import one_line_errors
from mmcascade.engine.runs.calibration import run_calibration


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of the cascade; a config is a program, so read it before you run it')
    parser.add_argument('out', help='the calibration file to write (.json); a picture is put beside it (.png)')
    parser.add_argument(
        '--target',
        required=True,
        help='what to reach on the calibration split. By windows around the '
        'decision to accept: risk=0.05 (share of errors among the accepted), coverage=0.8 (share '
        'accepted) or tpr=0.95. By one-sided thresholds: accuracy=0.93 at the lowest cost, macs=3e8 '
        '(mean per image) at the best accuracy, or deferred=0.2 (share that goes on in each gap). '
        'Segmentation cascades take miou=0.7, macs= and deferred=',
    )
    parser.add_argument(
        '--max-cells',
        type=int,
        metavar='K',
        help='let at most K cells of an image go on after stage '
        '0 of a segmentation cascade, which bounds the cost of the worst image',
    )
    parser.add_argument(
        '--accept',
        help='what the accept threshold should reach, where the target does not say it: risk=, coverage= or tpr=',
    )
    parser.add_argument(
        '--half-width',
        type=float,
        help='share of the units of a gap in its window on each side of tau (default 0.10)',
    )
    parser.add_argument(
        '--rule',
        choices=RULES,
        help='how tau is placed: meet the target on the calibration split, or the point nearest to it as in the paper',
    )
    parser.add_argument(
        '--fit-on',
        choices=FIT_ON,
        help="whose scores the width of a gap's window "
        'is measured on: the units that reach the gap, or all, as in the paper',
    )
    parser.add_argument('--temperatures', choices=TEMPERATURES, help='fit one temperature per stage')
    parser.add_argument(
        '--maps',
        choices=MAPS,
        help='fit one monotone map per exit from score to '
        'probability of being right, so that scores of different exits compare',
    )
    parser.add_argument(
        '--certify',
        type=float,
        metavar='DELTA',
        help='promise the risk for unseen images, except '
        'with probability DELTA; on a part of the calibration split that nothing else is fitted on',
    )
    parser.add_argument('--certify-share', type=float, help='that part (default 0.5)')
    parser.add_argument('--seed', type=int, help='of the draw of that part')
    parser.add_argument(
        '--adjust-on',
        metavar='KEY',
        help='re-centre the window of gap 0 on the images of this '
        'dataloader of the config, such as test_dataloader; their labels are not used',
    )
    parser.add_argument(
        '--adapt',
        type=int,
        metavar='N',
        help='re-centre the window of gap 0 at run time on the last N images; results then depend on their order',
    )
    parser.add_argument(
        '--store',
        help='folder for the scores of all stages (default: OUT.store beside OUT.json); '
        'an interrupted run continues there',
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help='calibrate the cascade of tools/test.py --tta, which may stop between two augmentations',
    )
    parser.add_argument('--amp', action='store_true', help='run the members in mixed precision')
    add_runtime(parser)
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings: key=value pairs')
    parser.set_defaults(**{field.name: field.default for field in fields(CalibrationRequest)[1:]})
    args = parser.parse_args()
    if not args.out.endswith('.json'):
        parser.error(f'the calibration file ends with .json, got {args.out}')
    return args


def main() -> None:
    args = parse_args()
    with one_line_errors(ValueError):
        request = CalibrationRequest(**{field.name: getattr(args, field.name) for field in fields(CalibrationRequest)})
        cfg = Config.fromfile(args.config)
        if args.cfg_options:
            cfg.merge_from_dict(args.cfg_options)
        set_runtime(cfg, args.runtime, args.amp)
        if args.tta:
            repeat_stages(cfg, [split for split in ('val_dataloader', 'test_dataloader') if cfg.get(split)])
        calibration, picture = run_calibration(cfg, request, args.out, args.store, amp=args.amp)
    print('\n'.join([args.out, *summary_lines(calibration), str(picture)]))


if __name__ == '__main__':
    main()
