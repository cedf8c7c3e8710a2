# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Test a cascade, or any model of MMPretrain and MMSeg.

Shows what was measured as a table; MMEngine's own log is in the file that is named at the end, and -v shows it here.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from mmcascade.engine.console.arguments import (
    Subparsers,
    add_config,
    add_launcher,
    add_runtime,
    add_verbose,
    command,
    use_local_rank,
    whole_number,
)
from mmcascade.engine.console.commands import main
from mmcascade.engine.console.configs import read_config

if TYPE_CHECKING:
    from mmengine.runner import Runner


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    made = command('test', __doc__, run, subparsers, interrupted='there are no metrics')
    add_config(made, 'config file')
    made.add_argument(
        'checkpoint',
        nargs='?',
        help='checkpoint of the whole model; leave it out (or write none) '
        'where the members of a cascade load their own',
    )
    made.add_argument('--work-dir', help='folder for logs and metrics')
    made.add_argument('--out', help='file for predictions (.pkl) or metrics (.json)')
    made.add_argument(
        '--out-item',
        choices=['metrics', 'pred'],
        help='what --out holds; by default metrics for a .json file, else predictions',
    )
    made.add_argument('--amp', action='store_true', help='test in mixed precision')
    add_runtime(made)
    made.add_argument(
        '--tta',
        action='store_true',
        help='test-time augmentation: tta_pipeline of the '
        'config, or image and mirror image; for a cascade tta_model says where it may stop',
    )
    made.add_argument('--show-dir', help='folder for pictures of the predictions')
    made.add_argument('--show', action='store_true', help='open a window for each picture')
    made.add_argument('--interval', type=whole_number, default=1, help='draw every so many images')
    made.add_argument('--wait-time', type=float, default=2, help='seconds a window stays')
    made.add_argument('--no-pin-memory', action='store_true')
    add_verbose(made)
    add_launcher(made)
    return made


def run(args: argparse.Namespace) -> None:
    item = _out_item(args)
    use_local_rank(args)
    cfg = read_config(args.config, args.cfg_options)

    from mmengine.dist import is_main_process

    from mmcascade.engine.configs.runtimes import set_runtime
    from mmcascade.engine.configs.testing import Drawing, EvalFlags
    from mmcascade.engine.console.report import show_test
    from mmcascade.engine.runs.testing import Output, run_test

    def started(runner: Runner) -> None:
        if is_main_process():
            print(_header(args.config, runner), flush=True)

    set_runtime(cfg, args.runtime, args.amp)
    flags = EvalFlags(
        config_path=args.config,
        checkpoint=args.checkpoint,
        work_dir=args.work_dir,
        launcher=args.launcher,
        amp=args.amp,
        tta=args.tta,
        pin_memory=not args.no_pin_memory,
        drawing=Drawing(args.show, args.show_dir, args.interval, args.wait_time),
    )
    output = Output(**{'metrics' if item == 'metrics' else 'predictions': args.out})
    tested = run_test(cfg, flags, output, args.verbose, started)
    if is_main_process():
        show_test(tested.metrics, tested.model)
        print('\n'.join(filter(None, (args.out, args.show_dir, tested.log and f'log: {tested.log}'))))


def _out_item(args: argparse.Namespace) -> str:
    if args.out_item and not args.out:
        raise ValueError('--out-item says what --out holds; give --out FILE, too')
    item = args.out_item or ('metrics' if args.out and args.out.endswith('.json') else 'pred')
    if args.out and item == 'pred' and not args.out.endswith(('.pkl', '.pickle')):
        raise ValueError(f'predictions are written as a .pkl file, got --out {args.out}')
    return item


def _header(config: str, runner: Runner) -> str:
    from mmengine.device import get_device
    from mmengine.model import is_model_wrapper

    from mmcascade.models.cascades import cascade_of

    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    cascade = cascade_of(model)
    stages = '' if cascade is None else f' of {len(cascade.stages)} stage(s)'
    images = len(runner.test_dataloader.dataset)
    return f'{config}: {type(model).__name__}{stages}, {images} image(s), on {get_device()}'


if __name__ == '__main__':
    main(parser)
