# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Train a member: any model of MMPretrain and MMSeg."""

from __future__ import annotations

import argparse

from mmcascade.engine.console.arguments import (
    Subparsers,
    add_config,
    add_launcher,
    add_verbose,
    command,
    use_local_rank,
)
from mmcascade.engine.console.commands import main
from mmcascade.engine.console.configs import read_config


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    made = command('train', __doc__, run, subparsers, interrupted='--resume goes on from the last checkpoint')
    add_config(made, 'config file')
    made.add_argument('--work-dir', help='folder for logs and checkpoints')
    made.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='go on from this checkpoint; without a path, from the latest in the work folder, if any',
    )
    made.add_argument('--amp', action='store_true', help='train in mixed precision')
    made.add_argument('--no-validate', action='store_true', help='no evaluation in between')
    made.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the real batch size over the one that the config was made for',
    )
    made.add_argument('--no-pin-memory', action='store_true')
    made.add_argument('--no-persistent-workers', action='store_true')
    add_verbose(made)
    add_launcher(made)
    return made


def run(args: argparse.Namespace) -> None:
    use_local_rank(args)
    cfg = read_config(args.config, args.cfg_options)

    from mmcascade.engine.configs.training import TrainFlags
    from mmcascade.engine.runs.training import last_checkpoint, run_train

    flags = TrainFlags(
        config_path=args.config,
        work_dir=args.work_dir,
        resume=args.resume,
        launcher=args.launcher,
        amp=args.amp,
        validate=not args.no_validate,
        auto_scale_lr=args.auto_scale_lr,
        pin_memory=not args.no_pin_memory,
        persistent_workers=not args.no_persistent_workers,
    )
    log = run_train(cfg, flags, args.verbose)
    print('\n'.join(filter(None, (str(last_checkpoint(cfg.work_dir) or ''), log and f'log: {log}'))))


if __name__ == '__main__':
    main(parser)
