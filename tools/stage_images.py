# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Write calibration images as a stage sees them.

From them runtime=dict(type='onnxruntime', precision='int8', images=OUT) takes the ranges of its numbers; openvino does,
too.

Example: mmcascade stage_images CONFIG work_dirs/images.npy --stage 0
"""

from __future__ import annotations

import argparse

from mmcascade.engine.console.arguments import Subparsers, add_config, command, whole_number
from mmcascade.engine.console.commands import main
from mmcascade.engine.console.configs import read_config


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    made = command('stage_images', __doc__, run, subparsers, interrupted='nothing was written')
    add_config(made)
    made.add_argument('out', help='the file to write (.npy)')
    made.add_argument('--stage', type=int, default=0, help='index of the stage (default 0)')
    made.add_argument('--images', type=whole_number, default=128, help='how many, evenly spread (default 128)')
    return made


def run(args: argparse.Namespace) -> None:
    if not args.out.endswith('.npy'):
        raise ValueError(f'the images are a .npy file, got {args.out}')
    cfg = read_config(args.config, args.cfg_options)

    import numpy as np

    from mmcascade._system.files import check_writable, written_whole
    from mmcascade.engine.runs.stage_images import stage_images

    check_writable(args.out)
    images = stage_images(cfg, args.stage, args.images)
    with written_whole(args.out, 'wb') as file:
        np.save(file, images)
    print(f'{args.out}: {images.shape[0]} images of {" x ".join(map(str, images.shape[1:]))}')


if __name__ == '__main__':
    main(parser)
