# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Compare a segmentation cascade with its members, their ensemble, image-level and random deferral.

The cascades are calibrated on val_dataloader for the best mIoU within a budget, and every system is tested by
tools/test.py on test_dataloader. What is there already is used again, so an interrupted run continues.

Example: tools/compare_segmentors.py configs/camvid/cascade.py --work-dir work_dirs/camvid/compare --cells 120 160
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from mmengine.config import Config, DictAction

from mmcascade.comparison.segmentation import Comparison
from mmcascade.comparison.segmentation_table import print_results
from mmcascade.engine.console.command_line import one_line_errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'config',
        help='config of a CascadeSegmentor with two stages; a config is a program, so read it before you run it',
    )
    parser.add_argument('--work-dir', required=True, help='folder for everything that is made')
    parser.add_argument(
        '--cells',
        nargs='*',
        default=[],
        help='further cells to try, such as 160 or 72x480 (height '
        'and width in pixels), or 72x480@2 where at most 2 cells of an image may go on',
    )
    parser.add_argument(
        '--budget',
        type=float,
        default=0.75,
        help="multiply-adds of the cascades, as a share of the second member's on whole images (default 0.75)",
    )
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings: key=value pairs')
    args = parser.parse_args()
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    start = time.monotonic()

    def say(line: str) -> None:
        print(f'[compare {time.monotonic() - start:4.0f} s] {line}', flush=True)

    with one_line_errors(ValueError):
        results = Comparison(
            cfg, Path(args.work_dir), Path(__file__).resolve().parent, args.cells, args.budget, say
        ).run()
    print_results(results)
    say(f'done; see {args.work_dir}/results.json and the pictures beside it')


if __name__ == '__main__':
    main()
