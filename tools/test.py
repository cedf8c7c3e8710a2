# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Test a cascade, or any model of MMPretrain and MMSegmentation, from a config."""

from __future__ import annotations

import argparse
import gc
import os

from mmengine.config import Config, DictAction
from mmengine.dist import is_main_process
from mmengine.evaluator import DumpResults
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmcascade._system.files import check_writable, write_json
from mmcascade._system.memory import keep_freed_memory
from mmcascade.engine.configs.testing import check_not_empty, plain, prepare_test
from mmcascade.engine.console.command_line import one_line_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file; a config is a program, so read it before you run it')
    parser.add_argument(
        'checkpoint',
        nargs='?',
        help='checkpoint of the whole model; leave it out (or write none) '
        'where the members of a cascade load their own',
    )
    parser.add_argument('--work-dir', help='folder for logs and metrics')
    parser.add_argument('--out', help='file for predictions (.pkl) or metrics (.json)')
    parser.add_argument(
        '--out-item',
        choices=['metrics', 'pred'],
        help='what --out holds; by default metrics for a .json file, else predictions',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings: key=value pairs such as test_dataloader.batch_size=64 or key="[a,b]"',
    )
    parser.add_argument('--amp', action='store_true', help='test in mixed precision')
    parser.add_argument(
        '--tta',
        action='store_true',
        help='test-time augmentation: tta_pipeline of the '
        'config, or image and mirror image; for a cascade tta_model says where it may stop',
    )
    parser.add_argument('--show-dir', help='folder for pictures of the predictions')
    parser.add_argument('--show', action='store_true', help='open a window for each picture')
    parser.add_argument('--interval', type=int, default=1, help='draw every so many images')
    parser.add_argument('--wait-time', type=float, default=2, help='seconds a window stays')
    parser.add_argument('--no-pin-memory', action='store_true')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args()
    if args.out_item and not args.out:
        parser.error('--out-item says what --out holds; give --out FILE, too')
    args.out_item = args.out_item or ('metrics' if args.out and args.out.endswith('.json') else 'pred')
    if args.out and args.out_item == 'pred' and not args.out.endswith(('.pkl', '.pickle')):
        parser.error(f'predictions are written as a .pkl file, got --out {args.out}')
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def main() -> None:
    args = parse_args()
    keep_freed_memory()
    cfg = Config.fromfile(args.config)
    with one_line_errors(ValueError):
        if args.out:
            check_writable(args.out)
        prepare_test(
            cfg,
            config_path=args.config,
            checkpoint=args.checkpoint,
            work_dir=args.work_dir,
            launcher=args.launcher,
            amp=args.amp,
            tta=args.tta,
            show=args.show,
            show_dir=args.show_dir,
            interval=args.interval,
            wait_time=args.wait_time,
            pin_memory=not args.no_pin_memory,
            cfg_options=args.cfg_options,
        )
    with one_line_errors(interrupted='there are no metrics'):
        runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
        if args.out and args.out_item == 'pred':
            runner.test_evaluator.metrics.append(DumpResults(out_file_path=args.out))
        check_not_empty(runner)
        gc.collect()
        gc.freeze()  # what was imported and built stays, and need not be searched for garbage again and again
        metrics = runner.test()
    if args.out and args.out_item == 'metrics' and is_main_process():
        write_json(args.out, plain(metrics), allow_nan=True)


if __name__ == '__main__':
    main()
