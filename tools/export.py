# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Write a calibrated cascade as a bundle.

The bundle is a folder that runs without torch. Its decisions are compared with those of the cascade on images of the
calibration split, and the export fails where one differs that lies on no bound.

Example: mmcascade export my_cascade work_dirs/bundle, then mmcascade serve work_dirs/bundle
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmcascade._system.extras import needed_by
from mmcascade.engine.console.arguments import Subparsers, add_config, command, whole_number
from mmcascade.engine.console.commands import main
from mmcascade.engine.console.configs import config_in, read_config


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    made = command('export', __doc__, run, subparsers, interrupted='nothing was written')
    add_config(made, 'folder of a build, or config of a calibrated cascade')
    made.add_argument('out_dir', help='folder for the bundle; it must not exist, or be empty')
    made.add_argument(
        '--images', type=whole_number, default=256, help='images that the bundle is checked on (default 256)'
    )
    made.add_argument(
        '--single-file',
        action='store_true',
        help='write the whole cascade as one ONNX graph with If, too: cascade.onnx',
    )
    made.add_argument(
        '--triton',
        type=Path,
        metavar='DIR',
        help='folder for a model repository of Triton, which needs the runtime extra',
    )
    made.add_argument(
        '--hub', action='store_true', help='write the metadata that the Hugging Face Hub reads; pushing it is yours'
    )
    made.add_argument('--title', help="the cascade's name on the card (default: name of the config, or of the folder)")
    return made


def run(args: argparse.Namespace) -> None:
    with needed_by('mmcascade export'):
        from mmcascade._system.tables import print_lines
        from mmcascade.engine.runs.export import add_hub_files, run_export
        from mmcascade.models.cascades import task_of
        from mmcascade.models.export.triton_repository import check_repository, write_triton
        from mmcascade.runtime import Bundle

    cfg = read_config(config_in(args.config), args.cfg_options)
    if args.triton is not None and (task := task_of(cfg)) is not None:
        check_repository(task, args.triton)
    path = Path(args.config)
    title = args.title or (path.resolve().name if path.is_dir() else path.stem)
    report, single = run_export(cfg, Path(args.out_dir), title, args.images, args.single_file)
    print_lines([f'{args.out_dir}: cascade.json, {", ".join(report.graphs)}, samples', *report.sentences()])
    if args.hub:
        add_hub_files(Path(args.out_dir))
    if args.triton is not None:
        models = write_triton(Bundle(args.out_dir), args.triton)
        print(f'{args.triton}: models {", ".join(models)} for Triton')
    if single is not None:
        print(f'cascade.onnx: the whole cascade, which agrees to {single:.1e} in probability.')


if __name__ == '__main__':
    main(parser)
