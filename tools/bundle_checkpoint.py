# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Write one checkpoint and one config for a whole cascade, for any OpenMMLab test script.

Example: tools/bundle_checkpoint.py CONFIG OUT_DIR, then
python tools/test.py OUT_DIR/CONFIG_NAME.py OUT_DIR/CONFIG_NAME.pth
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope

from mmcascade.engine.console.command_line import one_line_errors
from mmcascade.models.bundle import bundle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of the cascade; a config is a program, so read it before you run it')
    parser.add_argument('out_dir', help='folder for the checkpoint and the config')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings: key=value pairs')
    args = parser.parse_args()
    cfg = Config.fromfile(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    with one_line_errors(ValueError):
        config, checkpoint = bundle(cfg, args.out_dir, Path(args.config).stem)
    print(f'{config}\n{checkpoint} ({checkpoint.stat().st_size / 1e6:.1f} MB)')


if __name__ == '__main__':
    main()
