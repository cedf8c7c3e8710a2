# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Decide on images, and write a table of the decisions.

Each image has one row: its path, the class, its confidence, whether it is accepted, the stage after which it left, and
the multiply-adds spent; one that cannot be read has its error. A cascade of segmentors tells the share of each class,
and every cell. A run that was interrupted, or killed, goes on where it stopped.

Example: mmcascade predict my_cascade photos --out decisions.csv --rejected-to review
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmcascade._system.extras import needed_by
from mmcascade.engine.console.arguments import Subparsers, command, whole_number
from mmcascade.engine.console.commands import main


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    made = command('predict', __doc__, run, subparsers)
    made.add_argument('cascade', help='folder of a build or of an export, or the config of a calibrated cascade')
    made.add_argument(
        'inputs',
        nargs='+',
        metavar='INPUT',
        help='images, folders, patterns, lists of paths (.txt, .csv), or FILES.parquet[:COLUMN] with encoded images',
    )
    made.add_argument('--out', type=Path, required=True, help='file to write: .csv, .jsonl or .parquet')
    made.add_argument('--top', type=whole_number, default=0, metavar='K', help='tell the K most probable classes, too')
    made.add_argument(
        '--stage-scores', action='store_true', help='tell class and confidence after each stage that ran, too'
    )
    made.add_argument(
        '--rejected-to', type=Path, metavar='DIR', help='folder that gets a link to each image that is not accepted'
    )
    made.add_argument(
        '--maps-to', type=Path, metavar='DIR', help='segmentation: folder that gets a label map (PNG) of each image'
    )
    made.add_argument(
        '--batch-size', type=whole_number, help='images at a time (default 32; 1 for cascades of segmentors)'
    )
    made.add_argument(
        '--engine', choices=['local', 'ray'], default='local', help='local, or ray: --out is then a folder of .parquet'
    )
    made.add_argument('--address', help='with ray: of a cluster, such as auto (default: this machine alone)')
    made.add_argument('--actors', type=whole_number, help='with ray: processes that hold the cascade, at the most')
    made.add_argument('--gpus', type=float, default=0.0, help='with ray: of each of them; a part is fine (default 0)')
    return made


def run(args: argparse.Namespace) -> None:
    with needed_by('mmcascade predict'):
        from mmcascade.engine.predict.deciders.open_decider import open_decider
        from mmcascade.engine.predict.predict import predict
        from mmcascade.engine.predict.request import PredictRequest
        from mmcascade.engine.predict.terminal import summary, watching

    request = PredictRequest(
        tuple(args.inputs), args.out, args.top, args.rejected_to, args.batch_size, args.stage_scores, args.maps_to
    )
    decider = open_decider(args.cascade)
    if args.engine == 'local' and (args.address or args.actors or args.gpus):
        raise ValueError('--address, --actors and --gpus go with --engine ray')
    with watching(decider.stages) as watch:
        if args.engine == 'ray':
            from mmcascade.engine.predict.ray_engine import RayOptions, predict_on_ray

            options = RayOptions(args.address, args.actors, gpus=args.gpus)
            tally = predict_on_ray(args.cascade, request, options, watch)
        else:
            tally = predict(request, decider, watch)
    print(summary(request, tally, decider))


if __name__ == '__main__':
    main(parser)
