# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Compare a cascade, its members, their ensemble and other exit policies as detectors of OOD images.

The config's test loop is a ConcatDataset of an in-distribution set and OOD sets that are marked by mmcascade.MarkOOD.
All members run once over all images; every detector is replayed on their scores.

Example: tools/compare_ood.py configs/ood/efficientnet-lite_foolbox_elpv.py --work-dir work_dirs/ood
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmengine.config import Config, DictAction

from mmcascade.calibration.fit.operating_point import Target
from mmcascade.comparison.compare_ood import compare_ood
from mmcascade.comparison.ood_table import as_markdown, ood_rows, ood_sentences
from mmcascade.engine.console.command_line import one_line_errors, progress_bar


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of the cascade; a config is a program, so read it before you run it')
    parser.add_argument('--work-dir', required=True, help='folder for ood.json, roc.png and the stored scores')
    parser.add_argument(
        '--target',
        help='place the windows on val_dataloader for a decision such as tpr=0.95; by '
        "default the windows of the config's policy are taken",
    )
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings: key=value pairs')
    args = parser.parse_args()
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    with one_line_errors(ValueError):
        if args.target is not None:
            Target.parse(args.target)
        with progress_bar('running all stages') as progress:
            result = compare_ood(cfg, Path(args.work_dir), args.target, progress)
    members = [stage.member for stage in cfg.model.stages]
    print(as_markdown(ood_rows(result['systems'])))
    print('\n'.join(ood_sentences(result['systems'], members, members[1:])))
    print(f'{args.work_dir}/ood.json, {args.work_dir}/roc.png')


if __name__ == '__main__':
    main()
