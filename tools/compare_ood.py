# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Compare a cascade with others as OOD detectors.

Its members, their ensemble and other exit policies. The config's test loop is a ConcatDataset of an in-distribution set
and OOD sets that are marked by mmcascade.MarkOOD. All members run once over all images; every detector is replayed on
their scores.

Example: mmcascade compare_ood configs/ood/efficientnet-lite_foolbox_elpv.py --work-dir work_dirs/ood
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmcascade.engine.console.arguments import Subparsers, add_config, command
from mmcascade.engine.console.commands import main
from mmcascade.engine.console.configs import read_config
from mmcascade.engine.console.progress import progress_bar


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    made = command('compare_ood', __doc__, run, subparsers)
    add_config(made)
    made.add_argument('--work-dir', type=Path, required=True, help='folder for ood.json, roc.png and the stored scores')
    made.add_argument(
        '--target',
        help='place the windows on val_dataloader for a decision such as tpr=0.95; by '
        "default the windows of the config's policy are taken",
    )
    return made


def run(args: argparse.Namespace) -> None:
    cfg = read_config(args.config, args.cfg_options)

    from mmcascade.comparison.ood.comparison import compare_ood
    from mmcascade.comparison.ood.table import ood_sentences, ood_table

    with progress_bar('running all stages') as progress:
        result = compare_ood(cfg, args.work_dir, args.target, progress)
    members = [stage.member for stage in cfg.model.stages]
    ood_table(result['systems']).show()
    print('\n' + '\n'.join(ood_sentences(result['systems'], members, members[1:])))
    print(f'{args.work_dir}/ood.json, {args.work_dir}/roc.png')


if __name__ == '__main__':
    main(parser)
