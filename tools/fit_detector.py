# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Make the feature bank that a post-hoc detector of out-of-distribution images compares with.

Runs the members of a cascade over in-distribution images that neither the calibration nor the test split holds, such
as a part of the training set under the test pipeline, and keeps their penultimate features.

Example: tools/fit_detector.py CONFIG work_dirs/bank.npz
Then set model.confidence to dict(type='mmcascade.KNNConfidence', bank='work_dirs/bank.npz') and calibrate.
"""

from __future__ import annotations

import argparse

from mmengine.config import Config, DictAction

from mmcascade.engine.console.command_line import one_line_errors, progress_bar
from mmcascade.engine.runs.fit_detector import fit_bank


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of the cascade; a config is a program, so read it before you run it')
    parser.add_argument('out', help='the feature bank to write (.npz)')
    parser.add_argument(
        '--dataloader', default='detector_dataloader', help="the config's key for the images (default: %(default)s)"
    )
    parser.add_argument(
        '--images',
        type=int,
        default=10_000,
        help='keep the features of so many images, drawn at random (default: %(default)s)',
    )
    parser.add_argument('--seed', type=int, default=0, help='of the draw')
    parser.add_argument(
        '--store',
        help='folder for the features of all images (default: OUT.store beside OUT.npz); an '
        'interrupted run continues there',
    )
    parser.add_argument('--amp', action='store_true', help='run the members in mixed precision')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings: key=value pairs')
    args = parser.parse_args()
    if not args.out.endswith('.npz'):
        parser.error(f'the feature bank ends with .npz, got {args.out}')
    if args.images < 1:
        parser.error(f'--images is a number >= 1, got {args.images}')
    return args


def main() -> None:
    args = parse_args()
    cfg = Config.fromfile(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    with one_line_errors(ValueError), progress_bar('running all stages') as progress:
        bank = fit_bank(
            cfg,
            args.dataloader,
            args.store or args.out.removesuffix('.npz') + '.store',
            args.images,
            args.seed,
            amp=args.amp,
            progress=progress,
        )
    bank.save(args.out)
    widths = ', '.join(f'{rows.shape[1]} of {name}' for name, rows in bank.features.items())
    print(f'{args.out}: features of {bank.images} images ({widths})')


if __name__ == '__main__':
    main()
