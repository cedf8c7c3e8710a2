# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Write a cascade as one checkpoint and one config.

They go through any OpenMMLab test script. Example: mmcascade bundle_checkpoint CONFIG OUT_DIR, then
mmcascade test OUT_DIR/CONFIG_NAME.py OUT_DIR/CONFIG_NAME.pth
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmcascade.engine.console.arguments import Subparsers, add_config, command
from mmcascade.engine.console.commands import main
from mmcascade.engine.console.configs import read_config


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    made = command('bundle_checkpoint', __doc__, run, subparsers, interrupted='nothing was written')
    add_config(made)
    made.add_argument('out_dir', help='folder for the checkpoint and the config')
    return made


def run(args: argparse.Namespace) -> None:
    from mmengine.registry import init_default_scope

    from mmcascade.models.export.checkpoint import bundle

    cfg = read_config(args.config, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    config, checkpoint = bundle(cfg, args.out_dir, Path(args.config).stem)
    print(f'{config}\n{checkpoint} ({checkpoint.stat().st_size / 1e6:.1f} MB)')


if __name__ == '__main__':
    main(parser)
