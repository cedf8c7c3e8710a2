# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Make the feature bank of a post-hoc OOD detector.

Runs the members of a cascade over in-distribution images that neither the calibration nor the test split holds, such
as a part of the training set under the test pipeline, and keeps their penultimate features.

Example: tools/fit_detector.py CONFIG work_dirs/bank.npz
Then set model.confidence to dict(type='mmcascade.KNNConfidence', bank='work_dirs/bank.npz') and calibrate.
"""

from __future__ import annotations

import argparse

from mmcascade.engine.console.arguments import Subparsers, add_amp, add_config, command, whole_number
from mmcascade.engine.console.commands import main
from mmcascade.engine.console.configs import read_config
from mmcascade.engine.console.progress import progress_bar


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    made = command('fit_detector', __doc__, run, subparsers)
    add_config(made)
    made.add_argument('out', help='the feature bank to write (.npz)')
    made.add_argument(
        '--dataloader', default='detector_dataloader', help="the config's key for the images (default: %(default)s)"
    )
    made.add_argument(
        '--images',
        type=whole_number,
        default=10_000,
        help='keep the features of so many images, drawn at random (default: %(default)s)',
    )
    made.add_argument('--seed', type=int, default=0, help='of the draw')
    made.add_argument(
        '--store',
        help='folder for the features of all images (default: OUT.store beside OUT.npz); an '
        'interrupted run continues there',
    )
    add_amp(made)
    return made


def run(args: argparse.Namespace) -> None:
    if not args.out.endswith('.npz'):
        raise ValueError(f'the feature bank ends with .npz, got {args.out}')
    from mmcascade._system.files import check_writable
    from mmcascade.engine.runs.fit_detector import fit_bank

    check_writable(args.out)
    cfg = read_config(args.config, args.cfg_options)
    store = args.store or args.out.removesuffix('.npz') + '.store'
    with progress_bar('running all stages') as progress:
        bank = fit_bank(cfg, args.dataloader, store, args.images, args.seed, amp=args.amp, progress=progress)
    bank.save(args.out)
    widths = ', '.join(f'{rows.shape[1]} of {name}' for name, rows in bank.features.items())
    print(f'{args.out}: features of {bank.images} images ({widths})')


if __name__ == '__main__':
    main(parser)
